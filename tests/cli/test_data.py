"""`flipkd data check` as a command."""

from flipkd.cli.main import main
from tiny import pairs, write_csv


def test_what_a_file_shares_with_each_other_one_is_shown(models, tmp_path, capsys):
    train, test, other = pairs(12, 1), pairs(12, 2), pairs(12, 3)
    test.text_a[4] = train.text_a[7].upper()
    files = {
        name: write_csv(table, tmp_path / f"{name}.csv")
        for name, table in (("train", train), ("test", test), ("other", other))
    }
    words = ["--against.test", files["test"], "--against.other", files["other"], "--student", models["student"]]
    assert main(["data", "check", files["train"], *words]) == 0
    shown = {
        cells[1].strip(): cells[2].strip()
        for line in capsys.readouterr().out.splitlines()
        if len(cells := line.split("│")) > 3
    }
    assert (shown["texts shared with test"], shown["texts shared with other"]) == ("1", "0")
    assert main(["data", "check", files["train"], "--student", models["student"]]) == 0
    assert "shared with" not in capsys.readouterr().out
