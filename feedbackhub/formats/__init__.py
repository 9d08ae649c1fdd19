"""How dates are written, a module a language; templates name a format (`|date:"SHORT_DATE_FORMAT"`)."""
