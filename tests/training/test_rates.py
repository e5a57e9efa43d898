from flipkd.training.config import FlipConfig
from flipkd.training.rates import joint_rate, warm_up_rate
from tiny import student


def test_a_given_rate_is_taken():
    config = FlipConfig(learning_rate=3e-4, warmup_learning_rate=2e-4)
    assert (joint_rate(config, student()), warm_up_rate(config, student())) == (3e-4, 2e-4)


def test_otherwise_it_falls_with_the_width_and_the_reason_is_said(capsys):
    made = student()
    made.model.get_base_model().config.hidden_size = 1152
    assert joint_rate(FlipConfig(), made) == 1e-3
    assert warm_up_rate(FlipConfig(), made) == 5e-4
    said = capsys.readouterr().err
    assert "learning rate: 0.001" in said
    assert "1152" in said
