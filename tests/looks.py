"""What a page looks like once it has been drawn anew."""

from playwright.sync_api import Page

PAINTED = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
# Colours change within a moment, and are neither the one nor the other until then.
AT_REST = """Promise.allSettled(document.getAnimations()
  .filter((one) => one.effect?.getComputedTiming().endTime < 5000).map((one) => one.finished)).then(() => null)"""
# Charts follow the window a moment later.
FITS = """(width) => new Promise((done, fail) => {
  const end = performance.now() + 5000;
  const look = () => {
    const wide = document.documentElement.scrollWidth;
    const icons = [...document.querySelectorAll("svg.icon")].map((icon) => icon.getBoundingClientRect());
    const squeezed = icons.some((box) => Math.abs(box.width - box.height) > 0.5);
    if (wide <= width && !squeezed) done();
    else if (performance.now() > end)
      fail(new Error(`${location.pathname}: ${squeezed ? "an icon is squeezed" : `it scrolls sideways, ${wide} px`}`));
    else requestAnimationFrame(look);
  };
  look();
})"""


def fits(page: Page, width: int) -> None:
    """The page is not wider than the window, or soon is not any more, and nothing in it is squeezed to make it so."""
    page.evaluate(FITS, width)


def at_rest(page: Page) -> None:
    """Its scripts have run, it is drawn anew, and nothing on the page is on its way to another look."""
    page.wait_for_load_state()
    page.evaluate(PAINTED)
    page.evaluate(AT_REST)
