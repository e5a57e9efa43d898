"""What flipkd writes as CSV, its own readers read back to the character."""

from hypothesis import given
from hypothesis import strategies as st

from flipkd.data.delimited import written_csv
from flipkd.data.reader import read_pairs
from flipkd.data.rewrite import rewrite

text = st.text(st.one_of(st.sampled_from('\r\n",;\t\ufeff\x00\x85\u2028 '), st.characters(codec="utf-8")))
rows = st.lists(st.tuples(text, text, st.sampled_from("01"), text), min_size=1, max_size=8)
NAMES = {"text_a": "text_a", "text_b": "text_b", "label": "label"}


def read(file):
    table = read_pairs(str(file), columns=NAMES, empty="keep")
    labels = [str(label) for label in table.label]
    return list(zip(table.text_a, table.text_b, labels, table.extra["note"], strict=True)), table.line


def write(folder, data):
    with written_csv(folder / "pairs.csv") as writer:
        writer.writerows([("text_a", "text_b", "label", "note"), *data])
    return folder / "pairs.csv"


@given(rows)
def test_any_text_is_read_back_as_it_was_written(tmp_path_factory, data):
    assert read(write(tmp_path_factory.mktemp("csv"), data))[0] == data


@given(rows)
def test_a_record_with_another_label_is_read_back_as_well(tmp_path_factory, data):
    file = write(tmp_path_factory.mktemp("csv"), data)
    other = str(1 - int(data[0][2]))
    rewrite(str(file), file.with_name("new.csv"), {read(file)[1][0]: int(other)}, NAMES, None, None)
    assert read(file.with_name("new.csv"))[0] == [(*data[0][:2], other, data[0][3]), *data[1:]]
