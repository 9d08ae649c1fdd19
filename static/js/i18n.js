// The page's language in scripts: texts from its catalogue (/words/…, a plain script before the modules), numbers from Intl.
// Without a catalogue, on English pages, every text is said as it is written.

export const language = document.documentElement.lang || "en";

export const gettext = (text) => globalThis.django?.gettext?.(text) ?? text;

export const ngettext = (one, many, count) => globalThis.django?.ngettext?.(one, many, count) ?? (count === 1 ? one : many);

/** "%(count)s waiting", {count: 3} → "3 waiting". */
export const interpolate = (text, values) => text.replace(/%\((\w+)\)s/g, (whole, name) => values[name] ?? whole);
