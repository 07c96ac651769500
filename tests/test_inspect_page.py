"""The page of graphc inspect in a browser: every stage opens, links lead there and back, nothing is fetched."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from graphc.cli.main import graphc

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
EXAMPLES = Path(__file__).parents[1] / "examples"
NETWORKS = {"AdEx": "zoo:AdEx", "digits": f"{EXAMPLES / 'digits.py'}:network"}


class Opened(dict):
    """Pages by network, each written once and opened once; what a page fetches or complains of is in `wrong`."""

    def __init__(self, browser, folder):
        super().__init__()
        self.browser, self.folder, self.wrong = browser, folder, []

    def path(self, name):
        return self.folder / f"{name}.html"

    def __missing__(self, name):
        command = ["inspect", NETWORKS[name], "--html", str(self.path(name))]
        done = CliRunner().invoke(graphc, command, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        view = {"viewport": {"width": 1400, "height": 900}, "color_scheme": "light", "reduced_motion": "reduce"}
        page = self.browser.new_page(**view)
        page.set_default_timeout(10_000)
        page.on("console", lambda message: self.wrong.append(message.text))
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("request", lambda request: request.url.startswith("file:") or self.wrong.append(request.url))
        page.goto(self.path(name).as_uri())
        self[name] = page
        return page


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield Opened(browser, tmp_path_factory.mktemp("pages"))
        browser.close()


@pytest.fixture(params=NETWORKS)
def page(request, opened):
    yield opened[request.param]
    assert not opened.wrong


@pytest.fixture
def small(opened):
    """Open the page of the smaller network, for what does not depend on the network."""
    yield opened["AdEx"]
    assert not opened.wrong


def test_the_page_is_one_small_file(page, opened):
    path = next(opened.path(name) for name, found in opened.items() if found is page)
    text = path.read_text()
    assert path.stat().st_size < 3_000_000
    assert "http://" not in text and "https://" not in text and " src=" not in text


def test_every_stage_opens_and_arrows_walk_the_timeline(page):
    timeline = page.get_by_role("tablist", name="Passes in order")
    stages = timeline.get_by_role("tab")
    assert stages.count() == 13
    for k in range(stages.count()):
        stages.nth(k).click()
        panel = page.locator(f"#pass-{k}")
        assert panel.is_visible() and stages.nth(k).get_attribute("aria-selected") == "true"
        assert panel.locator("h3").inner_text() in stages.nth(k).locator("b").inner_text()
        for view in panel.get_by_role("tab").all():
            view.dispatch_event("click")
            assert panel.locator(f"#{view.get_attribute('aria-controls')}").is_visible()
    assert page.locator("main > section [role=tabpanel]:visible .stage:visible").count() == 1
    page.keyboard.press("Tab")
    stages.nth(12).focus()
    page.keyboard.press("ArrowRight")
    assert stages.nth(0).get_attribute("aria-selected") == "true"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert stages.nth(11).get_attribute("aria-selected") == "true" and page.locator("#pass-11").is_visible()


def test_an_equation_leads_to_its_kernel_line_and_back(page):
    page.get_by_role("tab", name="One step").click()
    equation = page.locator('#eq-1 .eq[data-v="forward:hid_condition"]').first
    equation.click()
    trail = page.get_by_role("region", name="Linked places")
    trail.get_by_role("button", name="kernel line · forward.c").click()
    line = page.locator(".code > div:focus")
    assert "hid_condition = " in line.inner_text() and "hit" in line.get_attribute("class")
    assert line.is_visible() and "hit" in equation.get_attribute("class")
    assert page.locator('g.node.hit[data-v="forward:hid_condition"]').first.is_visible()
    where = line.get_attribute("data-l")
    assert "near" in page.locator(f'[data-p=line][data-l="{where}"]').get_attribute("class")
    trail.get_by_role("button", name="equation").click()
    assert equation.evaluate("e => e === document.activeElement")
    trail.get_by_role("button", name="your line").click()
    assert page.locator("[data-p=line]:focus").get_attribute("data-l") == where
    page.keyboard.press("Escape")
    assert page.locator(".hit").count() == 0 and trail.is_hidden()


def test_a_backward_line_opens_the_adjoint(page):
    page.get_by_role("tab", name="backward · C").click()
    page.locator('#src-1 [data-v="backward:d_hid_condition"]').click()
    assert page.locator('#eq-2 .eq.hit[data-v="backward:d_hid_condition"]').is_visible()


def test_search_finds_a_value_and_goes_there(small):
    small.keyboard.press("/")
    small.keyboard.type("hid_condition")
    found = small.get_by_role("listbox").get_by_role("option")
    assert {"equation", "graph", "kernel"} <= set(found.locator("b").all_inner_texts())
    small.keyboard.press("ArrowDown")
    small.keyboard.press("ArrowUp")
    small.keyboard.press("Enter")
    assert small.locator(".eq.hit:focus").is_visible()
    small.keyboard.press("/")
    small.keyboard.type("partition")
    small.keyboard.press("Enter")
    assert small.locator("#pass-7").is_visible()
    small.keyboard.press("/")
    small.keyboard.type("zzzz")
    assert "nothing found" in small.locator("#found").inner_text()


def test_themes_follow_the_system_until_the_button_says_otherwise(small):
    color = "getComputedStyle(document.body).backgroundColor"
    light = small.evaluate(color)
    small.emulate_media(color_scheme="dark")
    dark = small.evaluate(color)
    small.get_by_role("button", name="Light").click()
    assert light != dark and small.evaluate(color) == light
    small.get_by_role("button", name="Dark").click()
    assert small.evaluate(color) == dark


def test_the_keyboard_reaches_everything(small):
    small.reload()
    small.keyboard.press("Tab")
    assert small.locator(":focus").inner_text() == "Skip to the content"
    assert small.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    small.get_by_role("tab", name="Declared").click()
    small.locator("#eq-0 .eq").first.focus()
    small.keyboard.press("ArrowDown")
    second = small.locator("#eq-0 .eq").nth(1)
    assert second.evaluate("e => e === document.activeElement")
    small.keyboard.press("Enter")
    assert "hit" in second.get_attribute("class")
    assert small.locator("svg .node[tabindex='0']").count() >= 2


@pytest.mark.parametrize("width", [360, 800])
def test_narrow_screens_do_not_scroll_sideways(small, width):
    small.set_viewport_size({"width": width, "height": 800})
    assert small.evaluate("document.documentElement.scrollWidth") <= width


def test_no_label_of_a_graph_leaves_its_box_or_covers_another(page):
    page.set_viewport_size({"width": 1400, "height": 900})
    overlaps = """() => {
        for (const panel of document.querySelectorAll("#follow [role=tabpanel]")) panel.hidden = false;
        return [...document.querySelectorAll("#follow svg, #network svg")].flatMap(svg => {
        const rects = [...svg.querySelectorAll(".node > rect")].map(r => r.getBBox());
        const cover = rects.filter((a, i) => rects.some((b, j) => j > i && a.x < b.x + b.width && b.x < a.x + a.width
            && a.y < b.y + b.height && b.y < a.y + a.height));
        const wide = [...svg.querySelectorAll(".node:has(rect)")].filter(n => [...n.querySelectorAll("text")]
            .some(t => t.getBBox().width > n.querySelector("rect").getBBox().width));
        return [rects.length > 1 && rects.every(r => r.width > 9) ? "seen" : "not seen", ...cover, ...wide].map(String);
    })}"""
    assert set(page.evaluate(overlaps)) == {"seen"}
