import json

import numpy as np
import pytest

from flipkd.teacher.cache import cached, content_key

VALUES = np.arange(6, dtype=np.float32).reshape(3, 2)


def read(folder, calls, revision="r1", texts=("a", "b", "c"), content="vectors", values=VALUES):
    def compute():
        calls.append(1)
        return values

    return cached(folder, content, teacher="t", revision=revision, texts=list(texts), rows=len(values), compute=compute)


def entries(folder):
    return sorted(path for path in (folder / "teacher").iterdir())


def test_a_second_read_computes_nothing_and_gives_the_same(tmp_path, said):
    calls = []
    read(tmp_path, calls)
    again = read(tmp_path, calls)
    assert len(calls) == 1
    assert isinstance(again, np.memmap)
    np.testing.assert_array_equal(again, VALUES)
    assert "computed" in said[0]
    assert "read" in said[1]


@pytest.mark.parametrize(
    "changed", [{"revision": "r2"}, {"texts": ("a", "b", "d")}, {"content": "similarities"}, {"texts": ("a", "c", "b")}]
)
def test_another_teacher_text_order_or_content_is_computed(tmp_path, changed):
    calls = []
    read(tmp_path, calls)
    read(tmp_path, calls, **changed)
    assert len(calls) == 2


def test_texts_that_join_to_the_same_string_have_their_own_keys():
    assert content_key("vectors", "r", ["ab", "c"]) != content_key("vectors", "r", ["a", "bc"])


def damage_truncate(entry):
    file = entry / "values.npy"
    file.write_bytes(file.read_bytes()[:-4])


def damage_shape(entry):
    np.save(entry / "values.npy", VALUES[:2])


def damage_dtype(entry):
    np.save(entry / "values.npy", VALUES.astype(np.float64))


def damage_key(entry):
    (entry / "key.json").write_text("{")


def damage_missing(entry):
    (entry / "values.npy").unlink()


def damage_empty(entry):
    (entry / "values.npy").write_bytes(b"")


@pytest.mark.parametrize(
    "damage", [damage_truncate, damage_shape, damage_dtype, damage_key, damage_missing, damage_empty]
)
def test_a_damaged_entry_is_told_and_computed_again(tmp_path, said, damage):
    calls = []
    read(tmp_path, calls)
    damage(entries(tmp_path)[0])
    np.testing.assert_array_equal(read(tmp_path, calls), VALUES)
    assert len(calls) == 2
    assert any("damaged" in line for line in said)
    read(tmp_path, calls)
    assert len(calls) == 2  # mended for good


def test_an_entry_holds_its_key_in_clear_and_nothing_is_left_over(tmp_path):
    read(tmp_path, [])
    (entry,) = entries(tmp_path)
    key = json.loads((entry / "key.json").read_text())
    assert key["teacher"] == "t"
    assert key["revision"] == "r1"
    assert (key["count"], key["shape"], key["dtype"]) == (3, [3, 2], "float32")


def test_a_failed_computation_leaves_no_entry(tmp_path):
    def fail():
        raise RuntimeError

    with pytest.raises(RuntimeError):
        cached(tmp_path, "vectors", teacher="t", revision="r", texts=["a"], rows=1, compute=fail)
    assert not (tmp_path / "teacher").exists()
