"""A page in headless Chromium: what it shows, logs and asks for. Debian's browser and driver, nothing downloaded.

Skips where one of them is missing, and fails instead where NEUROCHIP_NEEDS_CHROMIUM is set, as `.ci/run` does.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

WIDTHS = (1280, 390)
SWITCHES = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--hide-scrollbars",
)
LEAST_LETTER_PX = 11.0
# Every run of letters on the page with the height of its letters in pixels; those of a picture as they are drawn.
SMALL_LETTERS = """
const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let node; (node = walker.nextNode());) {
  const parent = node.parentElement;
  if (!node.data.trim() || ["SCRIPT", "STYLE"].includes(parent.tagName) || !parent.getClientRects().length) continue;
  const drawn = parent.closest("svg") ? parent.getScreenCTM() : null;
  const height = parseFloat(getComputedStyle(parent).fontSize) * (drawn ? Math.hypot(drawn.a, drawn.b) : 1);
  if (height < arguments[0]) found.push([node.data.trim().slice(0, 40), height]);
}
return found;
"""
# Cells of a row that begin before the one on their left has ended, or that are narrower than what they hold.
OVERLAPS = """
const found = [];
for (const row of document.querySelectorAll("tr")) {
  let end = -Infinity, top = -Infinity;
  for (const cell of row.cells) {
    const box = cell.getBoundingClientRect();
    const words = document.createRange();
    words.selectNodeContents(cell);
    const held = words.getBoundingClientRect();
    const hides = box.width && box.top < top + 0.5 && box.left < end - 0.5;
    const bursts = cell.textContent.trim() && (held.left < box.left - 0.5 || held.right > box.right + 0.5);
    if (hides || bursts) found.push(cell.textContent);
    [end, top] = [box.right, box.top];
  }
}
return found;
"""
# What a text of the data would leave behind if it became more than a text.
INTRUDERS = """
const count = selector => document.querySelectorAll(selector).length;
const names = [...document.querySelectorAll("*")].flatMap(one => [...one.attributes].map(other => other.name));
return {
  hacked: window.hacked ?? null,
  scripts: document.scripts.length,
  foreign: count("img, iframe, object, embed, link, base, form, input, i"),
  styles: count("style") - count("svg style"),
  titles: count("title") - count("svg title"),
  handlers: names.filter(name => name.startsWith("on")),
};
"""


def chromium() -> tuple[str, str]:
    """Browser and driver; skips, or fails where they must be there."""
    found = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    missing = [name for name, path in found.items() if path is None]
    if importlib.util.find_spec("selenium") is None:
        missing.append("selenium")
    if missing:
        say = pytest.fail if os.environ.get("NEUROCHIP_NEEDS_CHROMIUM") else pytest.skip
        say(f"not installed: {', '.join(missing)}")
    return str(found["chromium"]), str(found["chromedriver"])


class Browser:
    """One Chromium without a network."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver

    def open(self, path: Path, width: int = WIDTHS[0], scheme: str = "light") -> None:
        """Open a file in a window of this width, with every fold open; logs begin here."""
        screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        for log in ("browser", "performance"):
            self._driver.get_log(log)
        self._driver.get(path.as_uri())
        self.run("for (const fold of document.querySelectorAll('details')) fold.open = true;")

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script returns."""
        return self._driver.execute_script(script, *arguments)

    def messages(self) -> list[str]:
        """What the console says since the page was opened."""
        return [entry["message"] for entry in self._driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Every address that was asked for since the page was opened."""
        events = [json.loads(entry["message"])["message"] for entry in self._driver.get_log("performance")]
        return [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]

    def texts(self, selector: str) -> list[str]:
        """Texts of the elements."""
        found: list[str] = self.run(
            "return [...document.querySelectorAll(arguments[0])].map(one => one.textContent.trim());", selector
        )
        return found

    def table(self, selector: str) -> list[list[str]]:
        """Cells of the first such table, row by row."""
        found: list[list[str]] = self.run(
            "return [...document.querySelector(arguments[0]).rows]"
            ".map(row => [...row.cells].map(cell => cell.textContent.trim()));",
            selector,
        )
        return found

    def hover(self, selector: str) -> str:
        """Point at the first such element: what appears."""
        from selenium.webdriver.common.action_chains import ActionChains

        element = self._driver.find_element("css selector", selector)
        ActionChains(self._driver).scroll_to_element(element).move_to_element(element).perform()
        shown: str = self.run("return getComputedStyle(arguments[0], '::after').content;", element)
        return shown

    def tap(self, selector: str) -> str:
        """Touch the first such element, with nothing else under a pointer: what appears."""
        place = self.run(
            "const one = document.querySelector(arguments[0]); document.activeElement.blur();"
            "one.scrollIntoView({block: 'center'}); const box = one.getClientRects()[0];"
            "return [box.x + box.width / 2, box.y + box.height / 2];",
            selector,
        )
        click = {"x": place[0], "y": place[1], "button": "left", "clickCount": 1, "pointerType": "pen"}
        for kind in ("mousePressed", "mouseReleased"):
            self._driver.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": kind, **click})
        shown: str = self.run("return getComputedStyle(document.activeElement, '::after').content;")
        return shown

    def press_tab(self) -> tuple[str, str]:
        """Go on to the next element: its text, and what appears."""
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.keys import Keys

        ActionChains(self._driver).send_keys(Keys.TAB).perform()
        element = self._driver.switch_to.active_element
        return element.text, self.run("return getComputedStyle(arguments[0], '::after').content;", element)

    def picture(self, file: Path) -> None:
        """Save what the window shows."""
        self._driver.save_screenshot(str(file))


def check_alone(browser: Browser, path: Path) -> None:
    """The open page asked for nothing but itself, and the console is silent."""
    requests = [address for address in browser.requests() if not address.startswith("data:")]
    assert requests == [path.as_uri()], requests
    messages = browser.messages()
    assert messages == [], messages


def check_readable(browser: Browser, width: int) -> None:
    """Nothing reaches beyond the window, no letter is too small, no cells overlap."""
    widths = browser.run("return [innerWidth, document.scrollingElement.scrollWidth];")
    assert widths == [width, width], widths
    for script in (SMALL_LETTERS, OVERLAPS):
        found = browser.run(script, LEAST_LETTER_PX - 0.05)
        assert found == [], found


def check_clean(browser: Browser, n_scripts: int = 0) -> None:
    """No text of the data became an element, an attribute or a script."""
    found = browser.run(INTRUDERS)
    assert found == {"hacked": None, "scripts": n_scripts, "foreign": 0, "styles": 1, "titles": 1, "handlers": []}, (
        found
    )


def same(text: str, value: float) -> bool:
    """A text is a number rounded to its last digit, with three digits or all before the point (docs/report.md)."""
    digits = text.replace(",", "")
    mantissa, _, exponent = digits.partition("e")
    last = len(mantissa.partition(".")[2]) - int(exponent or 0)
    n_digits = len(mantissa.replace(".", "").lstrip("0"))
    return abs(float(digits) - value) <= 0.5000001 * 10.0**-last and (value == 0 or n_digits >= 3 or "." not in digits)


@contextmanager
def driven(*switches: str) -> Iterator[Any]:
    """The driver of a browser with more switches, with the logs that the checks need."""
    binary, driver_binary = chromium()
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = binary
    for switch in (*SWITCHES, *switches):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=Service(executable_path=driver_binary))
    try:
        yield driver
    finally:
        driver.quit()


@contextmanager
def started() -> Iterator[Browser]:
    """A browser without a network."""
    with driven() as driver:
        driver.execute_cdp_cmd("Network.enable", {})
        off = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
        driver.execute_cdp_cmd("Network.emulateNetworkConditions", off)
        yield Browser(driver)
