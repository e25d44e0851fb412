"""Photographs: every form that a camera or a scanner writes is read, and what is broken is one sentence."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from medlib.errors import MedlibError
from medlib.recognise.photos import find_photos, list_photos, read_photo, read_photos

#: Left half red, right half blue, wider than high.
HALVES = np.zeros((40, 80, 3), np.uint8)
HALVES[:, :40, 0] = HALVES[:, 40:, 2] = 250


def save(path, picture=None, **more):
    (picture or Image.fromarray(HALVES)).save(path, **more)
    return path


def check(picture):
    """Red on the left, blue on the right, grey above and below: nothing cut, stretched or turned."""
    assert picture.shape == (32, 32, 3) and picture.dtype == np.uint8
    red, blue = picture[16, 8].astype(int), picture[16, 24].astype(int)
    assert red[0] > 180 > 60 > red[2] and blue[2] > 150 > 90 > blue[0]
    assert np.abs(picture[2].astype(int) - 128).max() < 4


def test_common_forms_look_alike(tmp_path):
    image = Image.fromarray(HALVES)
    for name, picture, more in (("a.png", image, {}), ("b.jpg", image, {"quality": 90}), ("c.jpg", image.convert("CMYK"), {}),
                                ("d.webp", image, {}), ("e.tif", image, {}), ("f.bmp", image, {}), ("g.png", image.convert("P"), {}),
                                ("h.png", image.convert("RGBA"), {})):
        check(read_photo(save(tmp_path / name, picture, **more), 32))


def test_a_turned_photograph_stands_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    check(read_photo(save(tmp_path / "turned.jpg", Image.fromarray(HALVES).rotate(90, expand=True), exif=exif, quality=95), 32))


def test_depth_and_transparency_are_kept_apart_from_black(tmp_path):
    deep = Image.fromarray(np.full((20, 20), 32_768, np.uint16))
    assert read_photo(save(tmp_path / "deep.png", deep), 16) == pytest.approx(127, abs=1)
    floating = Image.fromarray(np.linspace(0, 4, 400, dtype=np.float32).reshape(20, 20))
    assert read_photo(save(tmp_path / "float.tif", floating), 20)[-1, -1, 0] > 250
    assert read_photo(save(tmp_path / "clear.png", Image.new("RGBA", (20, 20), (255, 0, 0, 0))), 16) == pytest.approx(128)
    assert (read_photo(save(tmp_path / "grey.png", Image.new("L", (20, 20), 200)), 16) == 200).all()


def make_bomb(side):
    """A PNG of few bytes that claims a huge picture."""
    chunk = lambda kind, body: struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b""))


def make_bad():
    whole = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (60, 60, 3), np.uint8)).save(whole, "JPEG")
    return {"text.png": b"this is no picture", "empty.jpg": b"", "cut.jpg": whole.getvalue()[:len(whole.getvalue()) // 2],
            "bomb.png": make_bomb(100_000), "large.png": make_bomb(9_000), "short.png": make_bomb(50)}


@pytest.mark.parametrize(("name", "body"), make_bad().items())
def test_what_is_no_whole_picture_is_one_sentence(tmp_path, name, body):
    path = tmp_path / name
    path.write_bytes(body)
    with pytest.raises(MedlibError) as found:
        read_photo(path, 32)
    message = str(found.value)
    assert name in message and "\n" not in message and message.endswith(".") and ". " not in message


def test_a_missing_file_and_a_folder_are_told(tmp_path):
    with pytest.raises(MedlibError, match="^There is no file"):
        read_photo(tmp_path / "none.png", 32)
    with pytest.raises(MedlibError, match="not a whole picture"):
        read_photo(tmp_path, 32)


def test_of_many_the_bad_ones_are_named_and_the_rest_is_read(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no")
    pictures, refused = read_photos([save(tmp_path / "good.png"), tmp_path / "bad.png", tmp_path / "none.png"], 32)
    check(pictures[0])
    assert sorted(refused) == [1, 2] and (pictures[1:] == 128).all() and "bad.png" in refused[1]
    assert read_photos([], 32)[0].shape == (0, 32, 32, 3)


def test_a_folder_a_state(tmp_path):
    for state, names in (("on", ("b.png", "a.JPG")), ("off", ("c.png",)), (".hidden", ("d.png",))):
        (tmp_path / state).mkdir()
        for name in names:
            save(tmp_path / state / name)
    (tmp_path / "on" / "notes.txt").write_text("no picture")
    found = list_photos(tmp_path)
    assert [path.name for path in found["file"]] == ["c.png", "a.JPG", "b.png"] and found["state"].tolist() == ["off", "on", "on"]


def test_a_folder_that_teaches_nothing_is_one_sentence(tmp_path):
    for words, more in (("at least two; got 0", "on"), ("at least two; got 1", "off"), ("'off' has none", "late")):
        with pytest.raises(MedlibError, match=words):
            list_photos(tmp_path)
        (tmp_path / more).mkdir()
        save(tmp_path / "on" / "a.png")
    with pytest.raises(MedlibError, match="^There is no folder"):
        list_photos(tmp_path / "nowhere")


def test_an_open_file_is_read_and_named_the_picture(tmp_path):
    check(read_photo(io.BytesIO(save(tmp_path / "a.png").read_bytes()), 32))
    with pytest.raises(MedlibError, match="^The picture is not a whole picture"):
        read_photo(io.BytesIO(b"no"), 32)
    pictures, refused = read_photos([io.BytesIO(b"no"), io.BytesIO((tmp_path / "a.png").read_bytes())], 32)
    check(pictures[1])
    assert list(refused) == [0]


def test_files_and_folders_are_listed(tmp_path):
    (tmp_path / "b" / "deep").mkdir(parents=True)
    for name in ("b/2.png", "b/deep/1.png", "a.png"):
        save(tmp_path / name)
    (tmp_path / "b" / "notes.txt").write_text("no picture")
    found = find_photos([tmp_path / "b", tmp_path / "a.png", tmp_path / "none.png"])
    assert [path.name for path in found] == ["2.png", "1.png", "a.png", "none.png"], "a missing file is told when it is read"
    (tmp_path / "empty").mkdir()
    with pytest.raises(MedlibError, match="must hold pictures"):
        find_photos([tmp_path / "empty"])
