// Typesets the TeX that the server has left as text in `.math`. KaTeX is loaded when there is some. The text is hostile
// input: no links, classes or images from it, few macro expansions, bounded sizes; what KaTeX refuses stays text.

const FOLDER = new URL("../vendor/katex/", import.meta.url);
const DELIMITERS = /^(?:\$\$?|\\[[(])([\s\S]*?)(?:\$\$?|\\[\])])$/;
const OPTIONS = { trust: false, strict: "ignore", throwOnError: true, maxExpand: 300, maxSize: 20, output: "htmlAndMathml" };
const NEEDS_STYLE = /\\(?:fbox|boxed|fcolorbox|colorbox|angl)/; // KaTeX writes these into MathML with style attributes
let loading = null;

function load() {
  loading ??= new Promise((resolve, reject) => {
    const sheet = Object.assign(document.createElement("link"), { rel: "stylesheet", href: new URL("katex.min.css", FOLDER) });
    const script = Object.assign(document.createElement("script"), { src: new URL("katex.min.js", FOLDER) });
    script.addEventListener("load", () => resolve(globalThis.katex));
    script.addEventListener("error", () => {
      loading = null;
      reject(new Error("KaTeX could not be loaded"));
    });
    document.head.append(sheet, script);
  });
  return loading;
}

/** Typeset every formula inside `root`. Resolves when they are; without KaTeX they stay text. */
export async function typeset(root) {
  const formulas = [...root.querySelectorAll(".math:not([data-tex])")];
  if (!formulas.length) return;
  let katex;
  try {
    katex = await load();
  } catch {
    return;
  }
  for (const formula of formulas) {
    const text = formula.textContent;
    const tex = DELIMITERS.exec(text)?.[1];
    if (tex === undefined || formula.dataset.tex) continue;
    const made = document.createElement("span");
    const displayMode = formula.classList.contains("math-display");
    try {
      katex.render(tex, made, { ...OPTIONS, displayMode, ...(NEEDS_STYLE.test(tex) && { output: "html" }) });
    } catch {
      continue;
    }
    formula.dataset.tex = text;
    formula.replaceChildren(...made.childNodes);
    if (displayMode && formula.scrollWidth > formula.clientWidth) formula.tabIndex = 0; // it scrolls: by keyboard too
  }
}
