import numpy as np
import pytest
import torch
from filelock import FileLock

from flipkd.errors import FlipkdError
from flipkd.student.trunk import TrunkCache, model_fingerprint
from tiny import base_model


def cache(folder, **options):
    return TrunkCache(folder, **({"fingerprint": "f", "width": 4, "limit_bytes": 4 * 4 * 10} | options))


def states(length, value):
    return np.full((length, 4), value, np.float32)


def test_what_is_put_comes_back_after_reopening(tmp_path):
    first = cache(tmp_path)
    first.put([(np.array([1, 2]), states(2, 0.5))])
    first.put([(np.array([1]), states(1, 0.25))])
    again = cache(tmp_path)
    np.testing.assert_array_equal(again.get(np.array([1, 2]), 2), states(2, 0.5))
    np.testing.assert_array_equal(again.get(np.array([1]), 1), states(1, 0.25))
    assert again.get(np.array([2]), 1) is None


def test_the_same_path_is_kept_apart_by_how_much_of_it_is_meant(tmp_path):
    kept = cache(tmp_path)
    kept.put([(np.array([1, 2, 3]), states(1, 0.5))])
    assert kept.get(np.array([1, 2, 3]), 2) is None
    np.testing.assert_array_equal(kept.get(np.array([1, 2, 3]), 1), states(1, 0.5))


def test_a_full_cache_keeps_what_it_has_and_takes_no_more(tmp_path):
    full = cache(tmp_path)
    full.put([(np.arange(8), states(8, 1.0))])
    full.put([(np.arange(5), states(5, 2.0))])
    assert full.get(np.arange(5), 5) is None
    np.testing.assert_array_equal(full.get(np.arange(8), 8), states(8, 1.0))


def test_a_smaller_limit_forgets_what_lies_beyond_it(tmp_path):
    first = cache(tmp_path)
    first.put([(np.arange(3), states(3, 1.0))])
    first.put([(np.arange(5), states(5, 2.0))])
    smaller = cache(tmp_path, limit_bytes=4 * 4 * 6)
    np.testing.assert_array_equal(smaller.get(np.arange(3), 3), states(3, 1.0))
    assert smaller.get(np.arange(5), 5) is None


def test_a_cache_that_another_process_fills_is_refused(tmp_path):
    """Two would write their rows over each other's."""
    with FileLock(tmp_path / ".lock"), pytest.raises(FlipkdError, match="at work in"):
        cache(tmp_path)


def test_another_models_cache_is_refused(tmp_path):
    cache(tmp_path)
    with pytest.raises(FlipkdError, match="another model"):
        cache(tmp_path, fingerprint="g")


def test_a_torn_index_entry_is_dropped_and_the_rest_kept(tmp_path):
    first = cache(tmp_path)
    first.put([(np.array([1]), states(1, 1.0))])
    first.put([(np.array([2]), states(1, 2.0))])
    index = tmp_path / "index.bin"
    index.write_bytes(index.read_bytes()[:-3])
    again = cache(tmp_path)
    again.put([(np.array([3]), states(1, 3.0))])
    last = cache(tmp_path)
    assert last.get(np.array([2]), 1) is None
    np.testing.assert_array_equal(last.get(np.array([1]), 1), states(1, 1.0))
    np.testing.assert_array_equal(last.get(np.array([3]), 1), states(1, 3.0))


@pytest.mark.parametrize("kept", [0, 1])
def test_states_whose_rows_were_cut_off_or_deleted_are_not_found(tmp_path, kept):
    first = cache(tmp_path)
    first.put([(np.array([1]), states(1, 1.0)), (np.array([2]), states(1, 2.0))])
    del first
    rows = tmp_path / "rows.bin"
    if kept:
        rows.write_bytes(rows.read_bytes()[: kept * 4 * 4])
    else:
        rows.unlink()
    again = cache(tmp_path)
    assert (again.get(np.array([1]), 1) is not None) == bool(kept)
    assert again.get(np.array([2]), 1) is None
    again.put([(np.array([2]), states(1, 2.0))])
    np.testing.assert_array_equal(again.get(np.array([2]), 1), states(1, 2.0))


def test_half_precision_takes_half_the_room_and_says_what_it_cannot_hold(tmp_path):
    half = cache(tmp_path, dtype="float16", limit_bytes=2 * 4 * 10)
    half.put([(np.arange(10), states(10, 0.1))])
    np.testing.assert_allclose(half.get(np.arange(10), 10), 0.1, rtol=1e-3)
    assert (tmp_path / "rows.bin").stat().st_size == 80
    with pytest.raises(FlipkdError, match="too large for float16"):
        cache(tmp_path / "other", dtype="float16").put([(np.arange(2), states(2, 1e5))])


def test_a_cache_of_another_dtype_is_refused(tmp_path):
    cache(tmp_path)
    with pytest.raises(FlipkdError, match="another dtype"):
        cache(tmp_path, dtype="float16")


def test_a_base_has_one_fingerprint_in_either_dtype_and_another_base_has_another():
    model, _ = base_model()
    other, _ = base_model(seed=1)
    full = model_fingerprint(model)
    assert model_fingerprint(other) != full
    assert model_fingerprint(model.to(torch.bfloat16)) == full
