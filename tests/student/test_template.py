import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import normalizers, processors

from flipkd.errors import FlipkdError
from flipkd.student.template import Template
from tiny import PROMPT, label_words, tokenizer

WORDS = {family: tokenizer(family) for family in ("bpe", "unigram", "wordpiece")}


@pytest.fixture(params=WORDS)
def words(request):
    return WORDS[request.param]


def build(words, **options):
    return Template.build(words, **({"prompt": PROMPT, "label_words": label_words(words)} | options))


def test_the_prompt_ends_with_the_cue_however_long_the_texts(words):
    template = build(words, max_text_tokens=5)
    a, b = template.encode_texts(words, ["card " * 500, "money " * 500])
    prompt = template.pair(a, b)
    assert prompt[-len(template.suffix) :] == template.suffix
    assert len(a) == len(b) == 5
    assert len(prompt) == template.longest


def test_a_text_is_cut_the_same_wherever_it_stands(words):
    template = build(words, max_text_tokens=4)
    long, short = template.encode_texts(words, ["card account money pin fee refund", "pin"])
    before = len(template.prefix)
    for prompt in (template.pair(long, short), template.pair(long, long)):
        assert prompt[before : before + 4] == long
    assert template.pair(short, long)[-len(template.suffix) - 4 : -len(template.suffix)] == long


@settings(max_examples=50)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30))
@example("use </s> to close <s> tag")
@example("pin<pad>")
def test_texts_hold_no_special_token(text):
    words = WORDS["bpe"]
    (ids,) = build(words).encode_texts(words, [text])
    assert not {words.bos_token_id, words.eos_token_id, words.pad_token_id} & set(ids)


@pytest.mark.parametrize("broken", ["half \ud800", None, 3])
def test_what_is_no_text_is_named(words, broken):
    with pytest.raises(FlipkdError, match="no text in valid Unicode") as refused:
        build(words).encode_texts(words, ["pin", broken])
    assert repr(broken) in str(refused.value)


def test_the_stored_template_comes_back_equal(words):
    template = build(words)
    import json

    assert Template.from_dict(json.loads(json.dumps(template.as_dict()))) == template


def test_another_tokenizer_is_refused():
    template = build(WORDS["bpe"])
    with pytest.raises(FlipkdError, match="stored template ids differ"):
        template.check_tokenizer(WORDS["unigram"])


def test_an_edited_prompt_is_refused():
    stored = build(WORDS["bpe"]).as_dict() | {"prompt": PROMPT.replace("same", "mean")}
    with pytest.raises(FlipkdError, match="edited"):
        Template.from_dict(stored).check_tokenizer(WORDS["bpe"])


@pytest.mark.parametrize("prompt", ["{a} {b}", "{b} then {a} same?", "{a} same?", "{a} {a} {b} same?"])
def test_a_prompt_without_both_places_and_a_cue_is_refused(prompt):
    with pytest.raises(FlipkdError, match="answer cue"):
        build(WORDS["bpe"], prompt=prompt)


def test_a_prompt_with_nothing_before_the_first_text_is_refused_where_no_token_is_put_there():
    prompt = "{a} \n text : {b} \n same ? answer :"
    with pytest.raises(FlipkdError, match="Put a word before"):
        build(WORDS["bpe"], prompt=prompt)
    assert build(WORDS["bpe"], prompt=f"text : {prompt}").prefix


@pytest.mark.parametrize("pair", [(" yes", " yes"), (" certainly not", " yes"), (" yes",)])
def test_label_words_must_be_two_single_tokens(pair):
    with pytest.raises(FlipkdError, match="label words"):
        build(WORDS["bpe"], label_words=pair)


def test_label_words_that_fit_without_their_blank_are_named():
    """As with Llama 2's tokenizer, which puts a blank before a text by itself."""
    words = tokenizer("wordpiece")
    words.backend_tokenizer.normalizer = normalizers.Prepend("pin ")
    with pytest.raises(FlipkdError, match=r"for this student; got .* Choose others with --label-words\.$"):
        build(words, label_words=(" no", " yes"))
    words.backend_tokenizer.normalizer = normalizers.Replace(" yes", "pin yes")
    with pytest.raises(FlipkdError, match=r"without blanks they are, --label-words '\[\"no\", \"yes\"\]'"):
        build(words, label_words=(" no", " yes"))


def test_all_special_tokens_that_a_tokenizer_begins_with_stand_before_the_prompt():
    words = tokenizer()
    words.add_special_tokens({"additional_special_tokens": ["[gMASK]", "<sop>"]})
    words.bos_token = None
    begins = words.convert_tokens_to_ids(["[gMASK]", "<sop>"])
    words.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="[gMASK] <sop> $A", special_tokens=list(zip(["[gMASK]", "<sop>"], begins, strict=True))
    )
    assert build(words).prefix == (*begins, *build(tokenizer()).prefix)


def test_an_unknown_letter_at_the_beginning_is_no_special_token_of_the_tokenizer(words):
    prefix = build(words, prompt=f"\u2603 {PROMPT}").prefix
    assert prefix == tuple(words(f"\u2603 {PROMPT.partition('{a}')[0]}", add_special_tokens=False).input_ids)


def test_a_text_without_tokens_is_refused():
    with pytest.raises(FlipkdError, match="empty"):
        build(WORDS["bpe"]).encode_texts(WORDS["bpe"], ["pin", ""])


def test_many_texts_are_encoded_as_few_are(words, monkeypatch):
    template, many = build(words, max_text_tokens=5), [f"reset my {'pin ' * n}card" for n in range(1, 9)]
    whole = template.encode_texts(words, many)
    monkeypatch.setattr("flipkd.student.template._AT_ONCE", 3)
    assert template.encode_texts(words, many) == whole


def test_cut_texts_are_counted(capsys):
    build(WORDS["bpe"], max_text_tokens=3).encode_texts(WORDS["bpe"], ["pin", "card account money fee refund"])
    assert "1 of 2 texts" in capsys.readouterr().err


def test_cut_texts_of_a_second_set_are_counted_too(capsys):
    template = build(WORDS["bpe"], max_text_tokens=3)
    for texts in (["pin", "card account money fee"], ["card account money fee"] * 5, ["card account money fee"] * 5):
        template.encode_texts(WORDS["bpe"], texts)
    said = capsys.readouterr().err
    assert (said.count("1 of 2 texts"), said.count("5 of 5 texts")) == (1, 1)


def test_that_texts_in_parts_are_cut_is_said_once_without_a_count(capsys):
    template = build(WORDS["bpe"], max_text_tokens=3)
    for number in (1, 2):
        template.encode_texts(WORDS["bpe"], ["card account money fee"] * number, counted=False)
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("Some texts are longer than 3 tokens") == said.count("longer") == 1
