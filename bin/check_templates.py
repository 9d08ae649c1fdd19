"""Fail on what the Content-Security-Policy would refuse in a browser: inline scripts, styles and event handlers.

python bin/check_templates.py FOLDER …
"""

import re
import sys
from pathlib import Path

TAG = re.compile(r"<(?P<name>[a-zA-Z][\w-]*)(?P<attributes>(?:[^<>\"']|\"[^\"]*\"|'[^']*')*)>", re.DOTALL)
HANDLER = re.compile(r"(?<![\w-])on[a-z]+\s*=", re.IGNORECASE)
STYLE = re.compile(r"(?<![\w-])style\s*=", re.IGNORECASE)
JAVASCRIPT = re.compile(r"(?:href|src|action)\s*=\s*[\"']?\s*javascript:", re.IGNORECASE)
QUOTED = re.compile(r"=\s*(\"[^\"]*\"|'[^']*')", re.DOTALL)
COMMENT = re.compile(r"{#.*?#}|{% comment.*?%}.*?{% endcomment %}|<!--.*?-->", re.DOTALL)


def problems(text: str) -> list[tuple[int, str]]:
    """(line, what is wrong) for each place of a template that a strict policy refuses."""
    # Comments give way to as many lines, so that what follows keeps its number.
    text = COMMENT.sub(lambda found: "\n" * found.group().count("\n"), text)
    wrong = []
    for tag in TAG.finditer(text):
        name, attributes = tag["name"].lower(), tag["attributes"]
        line = text.count("\n", 0, tag.start()) + 1
        names = QUOTED.sub("=", attributes)
        if name == "style":
            wrong.append((line, "a <style> element: put it into static/css"))
        if name == "script" and not re.search(r"(?<![\w-])src\s*=", names):
            wrong.append((line, "a <script> without src: put it into static/js, its data into json_script"))
        if HANDLER.search(names):
            wrong.append((line, f"an event handler in <{name}>: listen in a module in static/js"))
        if STYLE.search(names):
            wrong.append((line, f"a style attribute in <{name}>: use a class"))
        if JAVASCRIPT.search(attributes):
            wrong.append((line, f"a javascript: address in <{name}>"))
    return wrong


def main(folders: list[str]) -> int:
    count = 0
    for folder in folders:
        for path in sorted(Path(folder).rglob("*.html")):
            for line, problem in problems(path.read_text(encoding="utf-8")):
                print(f"{path}:{line}: {problem}")
                count += 1
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
