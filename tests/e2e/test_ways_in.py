"""Other ways to a digit than a pointer: the keyboard, samples, pictures and links."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


def test_a_digit_can_be_drawn_with_the_keyboard_alone(page: Any) -> None:
    keyboard = page.tab.keyboard
    for _ in range(3):
        keyboard.press("Tab")
    assert page.tab.evaluate("document.activeElement.id") == "pad"
    for _ in range(8):
        keyboard.press("ArrowUp")
    keyboard.press("Space")
    for _ in range(16):
        keyboard.press("ArrowDown")
    keyboard.press("Space")
    page.expect_digit("1")
    assert page.find("#announcer").inner_text() in {"Pen up", "1, > 99.9%. No doubt about it."}


def test_the_keyboards_pen_takes_small_steps_and_stays_on_the_paper(page: Any) -> None:
    page.find("#pad").focus()
    page.tab.keyboard.press("Space")
    for _ in range(20):
        page.tab.keyboard.press("ArrowLeft")
    page.tab.keyboard.press("Shift+ArrowUp")
    page.tab.keyboard.press("Space")
    page.wait_for("digit.textContent !== ''")
    page.find("#share").click()
    expect(page.find("#share-message")).not_to_be_empty()
    strokes = page.tab.evaluate(
        """async () => (await import("/static/js/strokes.js"))
        .decodeStrokes(JSON.parse(localStorage["livedigit.history"])[0].strokes)"""
    )
    assert strokes[0][0] == [140, 140]
    assert strokes[0][-1] == [0, 138]


def test_escape_lifts_the_keyboards_pen(page: Any) -> None:
    page.find("#pad").focus()
    page.tab.keyboard.press("Space")
    page.tab.keyboard.press("ArrowRight")
    page.tab.keyboard.press("Escape")
    page.expect_blank()
    page.tab.keyboard.press("ArrowRight")
    page.tab.keyboard.press("ArrowRight")
    page.expect_blank()
    for key in ("Space", "Escape", "Space"):
        page.tab.keyboard.press(key)
    expect(page.find("#announcer")).to_have_text("Pen down")


def test_every_sample_is_read_as_the_digit_it_is(page: Any) -> None:
    samples = page.tab.evaluate(
        """async () => {
            const { imageFromDrawing } = await import("/static/js/render.js");
            const { samples } = await import("/static/js/samples.js");
            const answers = [];
            for (const strokes of samples()) {
                const body = await imageFromDrawing({ strokes });
                const headers = { "Content-Type": "image/png" };
                answers.push((await (await fetch("/predict", { method: "POST", headers, body })).json()).digit);
            }
            return answers;
        }"""
    )
    assert samples == list(range(10))


def test_a_sample_is_drawn_and_read(page: Any) -> None:
    page.find("#sample").click()
    page.wait_for("digit.textContent !== ''")
    first = page.find("#digit").inner_text()
    page.find("#sample").click()
    expect(page.find("#digit")).not_to_have_text(first)


def photograph(drawing: dict[str, Any], dark_ink: bool = True, size: int = 900) -> bytes:
    """A digit written on paper: grainy, blurred, with dirt, under a lamp from one side."""
    rng = np.random.default_rng(7)
    scale = size / 280
    page = Image.new("L", (size, size), 255)
    pen = ImageDraw.Draw(page)
    for stroke in drawing["strokes"]:
        pen.line([(x * scale, y * scale) for x, y in stroke], fill=60, width=int(12 * scale), joint="curve")
    pen.ellipse((size * 0.05, size * 0.9, size * 0.05 + 9, size * 0.9 + 9), fill=40)
    light = np.linspace(1.0, 0.45, size)[None, :] * np.linspace(1.0, 0.8, size)[:, None]
    levels = np.asarray(page.filter(ImageFilter.GaussianBlur(2))) * light + rng.normal(0, 4, (size, size))
    levels = levels.clip(0, 255) if dark_ink else 255 - levels.clip(0, 255)
    buffer = io.BytesIO()
    Image.fromarray(levels.astype(np.uint8)).convert("RGB").save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def choose(page: Any, content: bytes, name: str = "photo.jpg", kind: str = "image/jpeg") -> None:
    page.find("#picture-file").set_input_files({"name": name, "mimeType": kind, "buffer": content})


@pytest.mark.parametrize("dark_ink", [True, False], ids=["dark-ink", "light-ink"])
@pytest.mark.parametrize("name", ["seven-crossed", "three-round", "zero-oval"])
def test_a_photograph_is_cleaned_and_read(page: Any, name: str, dark_ink: bool) -> None:
    drawing = page.drawings[name]
    choose(page, photograph(drawing, dark_ink))
    page.expect_digit(drawing["label"])
    expect(page.find("#cleaning canvas")).to_have_count(3)
    expect(page.find("#cleaning")).to_be_visible()
    page.tab.keyboard.press("Escape")
    expect(page.find("#cleaning")).to_be_hidden()
    page.tab.keyboard.press("Control+z")
    page.expect_digit(drawing["label"])


def test_the_panel_on_cleaning_is_about_the_picture_that_is_shown(page: Any) -> None:
    for name in ("seven-crossed", "zero-oval"):
        choose(page, photograph(page.drawings[name], size=300))
        page.expect_digit(page.drawings[name]["label"])
    expect(page.find("#cleaning")).to_be_visible()
    page.tab.keyboard.press("Control+z")
    expect(page.find("#cleaning")).to_be_hidden()
    page.tab.keyboard.press("Control+Shift+z")
    expect(page.find("#cleaning")).to_be_visible()


def test_strokes_on_a_picture_make_no_link(page: Any) -> None:
    choose(page, photograph(page.drawings["seven-crossed"], size=300))
    page.expect_digit("7")
    page.draw_stroke([[20, 20], [30, 30]])
    expect(page.find("#undo")).to_be_enabled()
    expect(page.find("#share")).to_be_disabled()


def hold_pictures(tab: Any) -> None:
    """Decode the first picture only when told to, by `release()`."""
    tab.add_init_script(
        """{
            const decode = window.createImageBitmap;
            const held = new Promise(resolve => { window.release = resolve; });
            window.createImageBitmap = async (...given) => {
                window.createImageBitmap = decode;
                window.isHeld = true;
                await held;
                const bitmap = await decode(...given);
                // The rest of the cleaning is done in one go.
                setTimeout(() => { window.wasCleaned = true; });
                return bitmap;
            };
        }"""
    )


@pytest.mark.parametrize("later", ["picture", "sample"])
def test_a_slower_picture_does_not_take_the_place_of_a_later_choice(open_page: Callable[..., Any], later: str) -> None:
    page = open_page(prepare=hold_pictures)
    choose(page, photograph(page.drawings["zero-oval"], size=300))
    page.wait_for("window.isHeld === true")
    if later == "picture":
        choose(page, photograph(page.drawings["seven-crossed"], size=300))
    else:
        page.find("#sample").click()
    page.wait_for("digit.textContent !== ''")
    read = page.find("#digit").inner_text()
    page.tab.evaluate("release()")
    page.wait_for("window.wasCleaned === true")
    page.expect_digit(read)
    page.tab.keyboard.press("Control+z")
    page.expect_blank()


@pytest.mark.parametrize("later", ["stroke", "mode", "escape"])
def test_a_slower_picture_does_not_undo_what_was_done_meanwhile(open_page: Callable[..., Any], later: str) -> None:
    page = open_page(prepare=hold_pictures)
    choose(page, photograph(page.drawings["zero-oval"], size=300))
    page.wait_for("window.isHeld === true")
    if later == "stroke":
        page.draw("seven-plain")
        page.expect_digit("7")
    elif later == "mode":
        page.find("#mode-number").click()
    else:
        page.tab.keyboard.press("Escape")
    expect(page.find("#answer")).not_to_have_attribute("data-busy", "")
    page.tab.evaluate("release()")
    page.wait_for("window.wasCleaned === true")
    page.expect_digit("7" if later == "stroke" else "")
    expect(page.find("#mode-number")).to_have_attribute("aria-pressed", str(later == "mode").lower())
    expect(page.find("#cleaning")).to_be_hidden()


def test_a_stroke_in_progress_is_kept_when_another_drawing_is_opened(page: Any) -> None:
    page.draw_stroke(page.drawings["seven-plain"]["strokes"][0], lift=False)
    choose(page, photograph(page.drawings["zero-oval"], size=300))
    page.expect_digit("0")
    page.tab.mouse.up()
    page.tab.keyboard.press("Control+z")
    page.expect_digit("7")


def test_a_picture_leaves_no_trace_in_history(page: Any) -> None:
    choose(page, photograph(page.drawings["seven-crossed"]))
    page.expect_digit("7")
    expect(page.find("#history li")).to_have_count(0)


def test_a_transparent_picture_with_dark_ink_is_read(page: Any) -> None:
    image = Image.new("RGBA", (400, 400), (0, 0, 0, 0))
    ImageDraw.Draw(image).line([(120, 90), (280, 88), (180, 320)], fill=(20, 20, 30, 255), width=26, joint="curve")
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    choose(page, buffer.getvalue(), "seven.png", "image/png")
    page.expect_digit("7")


@pytest.mark.parametrize("size", ['width="200" height="200"', 'viewBox="0 0 200 200"'])
def test_a_picture_made_of_lines_is_read(page: Any, size: str) -> None:
    lines = '<path d="M50 40H150L90 170" stroke="black" stroke-width="16" fill="none"/>'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{lines}</svg>'
    choose(page, svg.encode(), "seven.svg", "image/svg+xml")
    page.expect_digit("7")


@pytest.mark.parametrize("event", ["paste", "drop"])
def test_a_picture_can_be_pasted_and_dropped(page: Any, event: str) -> None:
    page.tab.evaluate(
        """([kind, bytes]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], "photo.jpg", { type: "image/jpeg" }));
            dispatchEvent(kind === "paste"
                ? new ClipboardEvent("paste", { clipboardData: transfer })
                : new DragEvent("drop", { dataTransfer: transfer, cancelable: true }));
        }""",
        [event, list(photograph(page.drawings["seven-crossed"], size=300))],
    )
    page.expect_digit("7")


def test_a_picture_of_forty_megapixels_is_read(page: Any) -> None:
    buffer = io.BytesIO()
    small = Image.open(io.BytesIO(photograph(page.drawings["seven-crossed"])))
    small.resize((6400, 6400)).save(buffer, "JPEG", quality=60)
    choose(page, buffer.getvalue())
    page.expect_digit("7")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"%PDF-1.7\n1 0 obj\n", "not a picture"),
        (b"", "not a picture"),
        (photograph({"strokes": []}), "No digit can be made out"),
    ],
    ids=["pdf", "empty", "blank-paper"],
)
def test_a_file_without_a_digit_is_refused_in_plain_words(page: Any, content: bytes, words: str) -> None:
    choose(page, content, "digit.png", "image/png")
    page.expect_notice(words)
    assert page.predictions() == []


def test_a_link_carries_the_drawing_and_no_server_hears_of_it(
    open_page: Callable[..., Any], page: Any, server: Any
) -> None:
    page.tab.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=server.url)
    page.draw("seven-crossed")
    page.expect_digit("7")
    page.find("#share").click()
    expect(page.find("#share-message")).to_have_text("Link copied.")
    link = page.tab.evaluate("navigator.clipboard.readText()")
    other = open_page(link.removeprefix(server.url))
    other.expect_digit("7")
    sent = [each.predictions()[-1].post_data_buffer for each in (page, other)]
    assert sent[0] == sent[1]
    assert all("#" not in request.url for request in other.requests)


def test_without_a_clipboard_the_link_goes_to_the_address_bar(open_page: Callable[..., Any]) -> None:
    page = open_page(
        prepare=lambda tab: tab.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    )
    page.draw("seven-crossed")
    page.expect_digit("7")
    page.find("#share").click()
    expect(page.find("#share-message")).to_have_text("The link is in the address bar.")
    assert "#d=" in page.tab.url
    page.draw_stroke([[20, 20], [30, 30]])
    page.wait_until(lambda: "#d=" not in page.tab.url)
    expect(page.find("#share-message")).to_be_empty()
    page.find("#share").click()
    page.wait_until(lambda: "#d=" in page.tab.url)
    page.find("#undo").click()
    page.wait_until(lambda: "#d=" not in page.tab.url)


@pytest.mark.parametrize("damaged", ["#d=", "#d=~~~", "#d=AAA", "#d=" + "9" * 1000])
def test_a_damaged_link_is_reported_and_the_page_works(open_page: Callable[..., Any], damaged: str) -> None:
    page = open_page("/" + damaged)
    page.expect_notice("no drawing that can be read")
    page.draw("seven-plain")
    page.expect_digit("7")


def test_the_palm_rejection_can_be_switched_off(page: Any) -> None:
    option = page.find("#touch-option")
    expect(option).to_be_hidden()
    page.tab.evaluate(
        """() => {
            const pad = document.getElementById("pad");
            pad.setPointerCapture = () => {};
            const at = { clientX: 300, clientY: 300, bubbles: true };
            const send = (kind, pointerType, pointerId) =>
                pad.dispatchEvent(new PointerEvent(kind, { ...at, pointerType, pointerId }));
            window.touch = () => { send("pointerdown", "touch", 9); send("pointerup", "touch", 9); };
            send("pointerdown", "pen", 8);
            send("pointerup", "pen", 8);
        }"""
    )
    ink = page.ink()
    page.find("#clear").click()
    page.tab.evaluate("touch()")
    assert page.ink() == 0
    option.click()
    page.tab.evaluate("touch()")
    assert page.ink() == ink
