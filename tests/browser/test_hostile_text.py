"""Names, tags, notes and texts of others are text on every page: nothing of them runs, is fetched
or passes for the app's own words, and no page fetches anything from elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from labeler.core.project import Project
from tests.support.browsers import Window
from tests.support.hostile import (
    FORMULA,
    HTML,
    LATEX,
    PICTURE,
    make_head,
    make_hostile,
    make_label_studio,
)
from tests.support.live import PATIENCE, App, until

pytestmark = pytest.mark.browser

# Everything that is there, also in the roots of components, with what it says and where it leads.
LOOK = """
() => {
  const told = { text: [], src: [], href: [], handlers: [], drawn: 0, icons: [] };
  const visit = (root) => {
    for (const node of root.querySelectorAll("*")) {
      if (node.shadowRoot) visit(node.shadowRoot);
      if (["SCRIPT", "STYLE", "LINK"].includes(node.tagName)) continue;
      for (const one of node.childNodes) if (one.nodeType === 3) told.text.push(one.data);
      for (const name of ["title", "alt", "aria-label", "placeholder", "value"]) {
        if (node.getAttribute(name)) told.text.push(node.getAttribute(name));
      }
      if (node.value && typeof node.value === "string") told.text.push(node.value);
      if (node.src) told.src.push(node.src);
      if (node.href && typeof node.href === "string") told.href.push(node.href);
      told.handlers.push(...node.getAttributeNames().filter((name) => name.startsWith("on")));
      if (node.classList.contains("katex")) told.drawn += 1;
      if (node.dataset.testid === "stIconMaterial") told.icons.push(node.textContent);
    }
  };
  visit(document);
  return told;
}
"""
BEFORE = """
window.ran = [];
for (const name of ["alert", "confirm", "prompt"]) window[name] = () => window.ran.push(name);
addEventListener("securitypolicyviolation", () => window.ran.push("refused"));
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_hostile(tmp_path_factory.mktemp("hostile"))


# What the frame calls each page, and what of it is there once it is shown.
LINKS = {
    "": ("Score", ".labeler.score"),
    "review": ("Review", ".labeler.review"),
    "train": ("Train", "h1:has-text('Train')"),
    "progress": ("Progress", "h1:has-text('Progress')"),
    "explore": ("Explore", "h1:has-text('Explore')"),
    "try": ("Try", "h1:has-text('Try')"),
    "export": ("Export", "h1:has-text('Export')"),
    "start": ("Add pictures", "h1:has-text('Add pictures')"),
}


@dataclass
class Watch:
    """A page whose every move is noted, from the first test on: what comes late is noted, too."""

    page: Page
    app: App
    asked: list[str] = field(default_factory=list)

    def opened(self, name: str) -> None:
        """By the link to it, which costs less than to load the page, or anew if it is shown."""
        link, shown = LINKS[name]
        before = self.page.url.split("?")[0]
        if before in ("about:blank", f"{self.app.url}/{name}"):
            self.page.goto(f"{self.app.url}/{name}")
        else:
            self.page.get_by_role("link", name=link, exact=True).click()
        self.page.locator(shown).wait_for()
        start = self.page.get_by_role("link", name="Add pictures")
        expect(start).to_be_visible(timeout=PATIENCE * 1000)
        self.settled()

    def settled(self) -> None:
        running = self.page.get_by_test_id("stStatusWidget")
        expect(running).to_be_hidden(timeout=PATIENCE * 1000)
        self.page.wait_for_load_state("networkidle")

    def says(self, *texts: str) -> dict[str, Any]:
        """Waits until the page says these, letter for letter, and looks at all the rest."""
        found: dict[str, Any] = {}

        def all_there() -> bool:
            found.update(self.page.evaluate(LOOK))
            said = "\n".join(found["text"]).replace("\N{WORD JOINER}", "")
            return all(text in said for text in texts)

        until(all_there, f"{texts} is not all there")
        self.nothing_happened(found)
        return found

    def nothing_happened(self, found: dict[str, Any]) -> None:
        ours = (self.app.url, "data:", "blob:")
        assert [url for url in self.asked if not url.startswith(ours)] == []
        assert self.page.evaluate("window.ran") == []
        assert [url for url in found["src"] if not url.startswith(ours)] == []
        assert [url for url in found["href"] if not url.startswith(ours)] == []
        assert (found["handlers"], found["drawn"]) == ([], 0)
        assert "delete" not in found["icons"]
        assert not any("\u202e" in text or "\x1b" in text for text in found["text"])


@pytest.fixture(scope="module")
def watches() -> list[Watch]:
    return []


@pytest.fixture
def watch(window: Window, app: App, watches: list[Watch]) -> Watch:
    page = window.page()
    if not watches or watches[-1].page is not page:
        watch = Watch(page, app)
        page.add_init_script(BEFORE)
        page.on("request", lambda request: watch.asked.append(request.url))
        watches.append(watch)
    return watches[-1]


def test_score(watch: Watch) -> None:
    watch.opened("")
    watch.says(HTML, PICTURE, FORMULA)  # sources to choose from, and the project's folder
    watch.page.keyboard.press("5")
    watch.says(HTML)


def test_review_with_all_its_queues(watch: Watch) -> None:
    watch.opened("review")
    for tab in watch.page.locator(".labeler.review [role=tab], .labeler.review nav button").all():
        tab.click()
        watch.settled()
        watch.says()
    watch.opened("review")
    watch.says(PICTURE)


def test_train(watch: Watch) -> None:
    watch.opened("train")
    watch.says(HTML, PICTURE)
    watch.page.get_by_text("Use somebody else's head").click()
    for tab in watch.page.get_by_role("tab").all():
        tab.click()
        watch.settled()
        watch.says(HTML)


def test_no_table_is_taken_along_with_its_formulas(watch: Watch) -> None:
    watch.opened("export")
    table = watch.page.get_by_test_id("stDataFrame").first
    table.hover()
    expect(watch.page.get_by_role("button", name="Fullscreen").first).to_be_visible()
    expect(watch.page.get_by_role("button", name="Download as CSV")).to_have_count(0)
    download = watch.page.locator("[aria-label='Download as CSV']").first
    expect(download).to_be_attached()  # It is still called that.
    expect(download).to_be_hidden()


def test_progress(watch: Watch) -> None:
    watch.opened("progress")
    watch.says(HTML)
    watch.page.get_by_text("Tag", exact=True).click()
    watch.settled()
    for chart in watch.page.get_by_test_id("stVegaLiteChart").locator("canvas").all():
        chart.hover(force=True)
    watch.says(HTML)


def test_explore_and_the_story_of_each(watch: Watch) -> None:
    watch.opened("explore")
    tiles = watch.page.locator("button.tile")
    expect(tiles.first).to_be_visible()
    for number in range(0, tiles.count(), 6):
        tile = watch.page.locator("button.tile").nth(number)
        image = tile.get_attribute("data-image")
        tile.click()
        expect(watch.page.get_by_role("heading", name=f"Image {image}", exact=True)).to_be_visible()
        watch.settled()
        watch.says()
    watch.says(HTML)


def test_try(watch: Watch, tmp_path: Path) -> None:
    watch.opened("try")
    for name in (f"{HTML}.png", f"{LATEX.replace('/', '')}.png"):
        Image.new("RGB", (50, 40), (9, 99, 200)).save(tmp_path / name)
    (tmp_path / "![x](http:evil.example).png").write_bytes(b"no picture")
    watch.page.locator("input[type=file]").set_input_files(sorted(tmp_path.iterdir()))
    watch.says(HTML, LATEX)
    watch.page.get_by_role("tab", name="A folder").click()
    watch.says(HTML)


def test_export_and_both_cards(watch: Watch) -> None:
    watch.opened("export")
    watch.page.get_by_text("Data card: what is in it").click()
    watch.page.get_by_role("button", name="Show the card").click()
    watch.settled()
    watch.says(HTML)
    watch.page.get_by_role("tab", name="Model").click()
    watch.settled()
    watch.says(PICTURE)


def test_the_model_card_as_it_reads(watch: Watch) -> None:
    """What the person has written is their Markdown; it runs nothing and fetches nothing."""
    watch.opened("export")
    watch.page.get_by_role("tab", name="Model").click()
    watch.page.get_by_role("radio", name="Model card").click()
    watch.page.get_by_role("tab", name="Preview").click()
    watch.settled()
    assert watch.page.evaluate("window.ran.filter((name) => name !== 'refused')") == []


def test_adding_pictures_and_scores(watch: Watch, tmp_path: Path) -> None:
    watch.opened("start")
    watch.page.get_by_text("could not be read").click()
    table = tmp_path / "scores.csv"
    table.write_text(f'path,score\n"{HTML}",5\n"{PICTURE}",4\n"{FORMULA}",x\n', encoding="utf-8")
    watch.page.get_by_text("Bring in scores from a file").click()
    watch.page.locator("input[type=file]").set_input_files(table)
    watch.page.get_by_role("button", name="Look at it").click()
    watch.settled()
    expect(watch.page.get_by_text("Not taken: the first few of each reason")).to_be_visible()
    watch.says(HTML)


def test_what_cannot_be_done_is_said_as_text(watch: Watch, tmp_path: Path) -> None:
    """Sentences name what was typed, and what a file said of itself."""
    nowhere = f"/nowhere/{PICTURE}{HTML}"
    for page, part, label in (
        ("start", None, "Folder with pictures"),
        ("train", "Use somebody else's head", "File"),
        ("try", "A folder", "Folder with pictures"),
        ("start", "Bring in scores from a file", "or its path on this machine"),
    ):
        watch.opened(page)
        if part is not None:
            watch.page.get_by_text(part).first.click()
        typed = watch.page.get_by_label(label, exact=True).first
        typed.fill(nowhere)
        typed.press("Enter")
        watch.settled()
        watch.says("/nowhere", PICTURE, HTML)


def test_the_head_of_a_stranger(watch: Watch, tmp_path: Path) -> None:
    watch.opened("train")
    watch.page.get_by_text("Use somebody else's head").click()
    head = make_head(tmp_path)
    watch.page.get_by_label("File", exact=True).fill(str(head))
    watch.page.get_by_label("File", exact=True).press("Enter")
    watch.settled()
    watch.page.get_by_text("It was trained on embeddings of this project's encoder").click()
    watch.page.get_by_role("button", name="Add the head").click()
    # It tells classes apart, and the sentence names the file and each class.
    watch.says(head.name, PICTURE, LATEX)


def test_scores_of_label_studio(watch: Watch, tmp_path: Path) -> None:
    watch.opened("start")
    watch.page.get_by_text("Bring in scores from a file").click()
    watch.page.locator("input[type=file]").set_input_files(make_label_studio(tmp_path / "ls.json"))
    watch.page.get_by_role("button", name="Look at it").click()
    watch.settled()
    watch.says()
