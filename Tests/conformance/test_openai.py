"""Fathom's HTTP API as the official openai client sees it."""

import json
import math
import time
import urllib.request

import openai
import pytest

QUESTION = [{"role": "user", "content": "Name the capital of France."}]


def wait_until(condition, seconds=30):
    """Whether `condition()` became true within the time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


def metric(cluster, name):
    """Sum of a Prometheus metric over its labels."""
    text = urllib.request.urlopen(cluster["gateway_url"] + "/metrics", timeout=10).read().decode()
    values = [float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith((name + " ", name + "{"))]
    return sum(values)


# Models


def test_models_are_listed_and_found(client, model):
    ids = [entry.id for entry in client.models.list()]
    assert model in ids
    assert client.models.retrieve(model).id == model


def test_unknown_model_is_not_found(client):
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("no-such-model")


# Chat


def test_chat(client, model):
    answer = client.chat.completions.create(model=model, messages=QUESTION, max_tokens=24, temperature=0)
    choice = answer.choices[0]
    assert answer.object == "chat.completion" and answer.model == model
    assert choice.message.role == "assistant"
    assert "Paris" in choice.message.content
    assert choice.finish_reason in ("stop", "length")
    assert answer.usage.prompt_tokens > 0
    assert 0 < answer.usage.completion_tokens <= 24
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_streamed_chat_says_the_same(client, model):
    whole = client.chat.completions.create(model=model, messages=QUESTION, max_tokens=20, temperature=0)
    chunks = list(
        client.chat.completions.create(
            model=model, messages=QUESTION, max_tokens=20, temperature=0, stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert len({chunk.id for chunk in chunks}) == 1
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == whole.choices[0].finish_reason
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage or chunks[-1].usage.total_tokens == whole.usage.total_tokens
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_stream_without_usage_has_none(client, model):
    chunks = list(
        client.chat.completions.create(model=model, messages=QUESTION, max_tokens=4, temperature=0, stream=True)
    )
    assert all(chunk.usage is None for chunk in chunks)
    assert all(chunk.choices for chunk in chunks)


def test_chat_logprobs(client, model):
    answer = client.chat.completions.create(
        model=model, messages=QUESTION, max_tokens=6, temperature=0, logprobs=True, top_logprobs=5
    )
    content = answer.choices[0].logprobs.content
    assert len(content) == answer.usage.completion_tokens or len(content) == answer.usage.completion_tokens - 1
    for token in content:
        assert token.logprob <= 0
        assert len(token.top_logprobs) == 5
        assert max(top.logprob for top in token.top_logprobs) == token.top_logprobs[0].logprob
        assert token.logprob == token.top_logprobs[0].logprob
        assert bytes(token.bytes).decode(errors="replace") == token.token or "\ufffd" in token.token


def test_several_choices(client, model):
    answer = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "Invent a name for a boat."}], max_tokens=8, n=3, seed=5,
        temperature=1.5,
    )
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in answer.choices}) > 1


def test_same_seed_same_text(client, model):
    def run(seed):
        return client.completions.create(
            model=model, prompt="Once upon a time", max_tokens=16, temperature=1.2, seed=seed
        ).choices[0].text

    first = run(11)
    assert run(11) == first
    assert any(run(seed) != first for seed in (12, 13, 14))


# Completions


def test_completion_with_stop(client, model):
    free = client.completions.create(model=model, prompt="1, 2, 3, 4, 5,", max_tokens=24, temperature=0)
    text = free.choices[0].text
    stop = text[4:6]
    cut = client.completions.create(model=model, prompt="1, 2, 3, 4, 5,", max_tokens=24, temperature=0, stop=[stop])
    assert stop not in cut.choices[0].text
    assert text.startswith(cut.choices[0].text)
    assert cut.choices[0].finish_reason == "stop"


def test_echo_with_logprobs(client, model):
    answer = client.completions.create(
        model=model, prompt="The quick brown fox jumps", max_tokens=2, temperature=0, echo=True, logprobs=3
    )
    choice = answer.choices[0]
    assert choice.text.startswith("The quick brown fox jumps")
    logprobs = choice.logprobs
    count = answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert len(logprobs.tokens) == len(logprobs.token_logprobs) == len(logprobs.top_logprobs) == count
    assert logprobs.token_logprobs[0] is None
    assert all(value <= 0 for value in logprobs.token_logprobs[1:])
    assert all(len(top) >= 3 for top in logprobs.top_logprobs[1:])
    assert "".join(logprobs.tokens) == choice.text
    for position, token in enumerate(logprobs.tokens):
        offset = logprobs.text_offset[position]
        assert choice.text[offset : offset + len(token)] == token


def test_prompt_as_token_ids(client, model):
    echo = client.completions.create(
        model=model, prompt="Hello world", max_tokens=1, temperature=0, echo=True, logprobs=1,
        extra_body={"return_tokens_as_token_ids": True},
    )
    tokens = echo.choices[0].logprobs.tokens
    assert all(token.startswith("token_id:") for token in tokens)
    ids = [int(token.removeprefix("token_id:")) for token in tokens[: echo.usage.prompt_tokens]]
    by_text = client.completions.create(model=model, prompt="Hello world", max_tokens=8, temperature=0)
    by_ids = client.completions.create(model=model, prompt=ids, max_tokens=8, temperature=0)
    assert by_ids.choices[0].text == by_text.choices[0].text
    assert by_ids.usage.prompt_tokens == by_text.usage.prompt_tokens == len(ids)


def test_several_prompts(client, model):
    answer = client.completions.create(model=model, prompt=["One plus one is", "The sky is"], max_tokens=4, temperature=0)
    assert [choice.index for choice in answer.choices] == [0, 1]
    single = client.completions.create(model=model, prompt="The sky is", max_tokens=4, temperature=0)
    assert answer.choices[1].text == single.choices[0].text


def test_ignore_eos_reaches_the_limit(client, model):
    answer = client.completions.create(
        model=model, prompt="Bye.", max_tokens=40, temperature=0, extra_body={"ignore_eos": True}
    )
    assert answer.usage.completion_tokens == 40
    assert answer.choices[0].finish_reason == "length"


def test_many_streams_at_once_count_right(cluster, model):
    import concurrent.futures

    client = openai.OpenAI(base_url=cluster["gateway_url"] + "/v1", api_key=cluster["api_key"], max_retries=0, timeout=120)

    def run(index):
        usage = None
        for chunk in client.completions.create(
            model=model, prompt=f"Story {index}:", max_tokens=20, temperature=0, stream=True,
            stream_options={"include_usage": True}, extra_body={"ignore_eos": True},
        ):
            usage = chunk.usage or usage
        return usage.completion_tokens

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert list(pool.map(run, range(16))) == [20] * 16


# Cache


def test_repeated_request_hits_the_cache_of_its_tenant_only(cluster, client, other_tenant, model):
    def ask(client):
        response = client.completions.with_raw_response.create(
            model=model, prompt="A prompt for the cache:", max_tokens=5, temperature=0
        )
        hits = [value for name, value in response.headers.items() if "cache" in name.lower()]
        return response.parse().choices[0].text, " ".join(hits).lower()

    first, state = ask(client)
    assert "miss" in state
    second, state = ask(client)
    assert "hit" in state and second == first
    third, state = ask(other_tenant)
    assert "miss" in state and third == first


# Embeddings


def test_embeddings(client):
    texts = ["A cat sits on the mat.", "A kitten rests on a rug.", "Quarterly revenue rose by 4 %."]
    answer = client.embeddings.create(model="all-minilm-l6-v2", input=texts, encoding_format="float")
    vectors = [entry.embedding for entry in answer.data]
    assert [entry.index for entry in answer.data] == [0, 1, 2]
    assert all(len(vector) == 384 for vector in vectors)
    assert all(math.isclose(sum(x * x for x in vector), 1, rel_tol=1e-4) for vector in vectors)
    dot = lambda a, b: sum(x * y for x, y in zip(a, b))
    assert dot(vectors[0], vectors[1]) > dot(vectors[0], vectors[2]) + 0.2
    assert answer.usage.prompt_tokens > 0
    assert len(client.embeddings.create(model="all-minilm-l6-v2", input="x", dimensions=384).data[0].embedding) == 384
    for bad in ({"dimensions": 64}, {"input": [[791, 8415, 7731]]}, {"input": "long " * 300}):
        with pytest.raises(openai.BadRequestError):
            client.embeddings.create(**({"model": "all-minilm-l6-v2", "input": "x"} | bad))
    # The client's own default is base64.
    encoded = client.embeddings.create(model="all-minilm-l6-v2", input=texts[0])
    assert all(math.isclose(a, b, abs_tol=1e-6) for a, b in zip(encoded.data[0].embedding, vectors[0]))


# Files, vector stores, retrieval

PARKING = "# Parking\n\nVisitors park on deck C of the Harbour Street garage. The gate code for visitors is 7741.\n"
MENU = "The canteen serves lunch from 11:30 to 13:45. On Fridays there is fish.\n"


@pytest.fixture(scope="session")
def store(client):
    files = [
        client.files.create(file=(name, text.encode()), purpose="assistants")
        for name, text in (("parking.md", PARKING), ("menu.txt", MENU))
    ]
    store = client.vector_stores.create(name="conformance", file_ids=[file.id for file in files])
    assert wait_until(lambda: client.vector_stores.retrieve(store.id).file_counts.in_progress == 0)
    assert client.vector_stores.retrieve(store.id).file_counts.completed == 2
    return store


def test_files(client):
    file = client.files.create(file=("note.txt", b"A short note."), purpose="assistants")
    assert file.bytes == len(b"A short note.") and file.filename == "note.txt"
    assert client.files.retrieve(file.id).id == file.id
    assert file.id in [entry.id for entry in client.files.list()]
    assert client.files.content(file.id).read() == b"A short note."
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)


def test_vector_store_search(client, store):
    results = client.vector_stores.search(store.id, query="Where do visitors park?").data
    assert results[0].filename == "parking.md"
    assert "deck C" in results[0].content[0].text
    assert [result.score for result in results] == sorted((result.score for result in results), reverse=True)


def test_file_search_in_chat_cites_its_source(client, model, store):
    tools = [{"type": "file_search", "vector_store_ids": [store.id]}]
    messages = [{"role": "user", "content": "What is the gate code for visitors?"}]
    answer = client.chat.completions.create(model=model, messages=messages, tools=tools, max_tokens=40, temperature=0)
    message = answer.choices[0].message
    assert "7741" in message.content
    annotations = message.model_dump()["annotations"]
    assert annotations, "the answer has no annotation"
    citation = annotations[0]["file_citation"]
    assert citation["filename"] == "parking.md"
    assert citation["quote"] and citation["quote"] in PARKING
    assert 0 <= citation["start_index"] <= citation["end_index"] <= len(message.content)


def test_another_tenant_sees_nothing(client, other_tenant, store):
    assert store.id not in [entry.id for entry in other_tenant.vector_stores.list()]
    with pytest.raises(openai.NotFoundError):
        other_tenant.vector_stores.retrieve(store.id)
    file = client.vector_stores.files.list(store.id).data[0]
    with pytest.raises(openai.NotFoundError):
        other_tenant.files.retrieve(file.id)


def test_detached_file_is_not_found_any_more(client):
    file = client.files.create(file=("gone.txt", b"The secret ingredient is saffron."), purpose="assistants")
    store = client.vector_stores.create(name="detach")
    client.vector_stores.files.create(store.id, file_id=file.id)
    assert wait_until(lambda: client.vector_stores.files.retrieve(file.id, vector_store_id=store.id).status == "completed")
    assert client.vector_stores.search(store.id, query="secret ingredient").data
    client.vector_stores.files.delete(file.id, vector_store_id=store.id)
    assert not client.vector_stores.search(store.id, query="secret ingredient").data
    assert client.vector_stores.delete(store.id).deleted
    client.files.delete(file.id)


# Errors


def test_wrong_key(cluster, model):
    stranger = openai.OpenAI(base_url=cluster["gateway_url"] + "/v1", api_key="fk-wrong", max_retries=0)
    with pytest.raises(openai.AuthenticationError) as error:
        stranger.chat.completions.create(model=model, messages=QUESTION)
    assert error.value.body["message"]


def test_no_such_model(client):
    with pytest.raises(openai.NotFoundError) as error:
        client.chat.completions.create(model="gpt-0", messages=QUESTION)
    assert "gpt-0" in error.value.message or "model" in error.value.message


@pytest.mark.parametrize(
    "arguments",
    [
        {"temperature": -1},
        {"top_p": -0.1},
        {"n": 0},
        {"max_tokens": -5},
        {"logprobs": True, "top_logprobs": 21},
        {"stop": ["a"] * 100},
        {"messages": []},
        {"messages": [{"role": "wizard", "content": "x"}]},
        {"extra_body": {"max_tokens": "many"}},
        {"extra_body": {"guided_json": {"type": "object"}}},
        {"functions": [{"name": "f"}]},
        {"modalities": ["text", "audio"]},
        {"messages": [{"role": "user", "content": "word " * 40_000}]},
    ],
    ids=lambda arguments: next(iter(arguments)),
)
def test_bad_requests(client, model, arguments):
    with pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(**({"model": model, "messages": QUESTION, "max_tokens": 4} | arguments))
    assert error.value.body["message"] and error.value.body["type"] == "invalid_request_error"


@pytest.mark.parametrize("body, status", [(b"{", 400), (b"[]", 400), (b'{"x": "' + b"y" * 10_000_000 + b'"}', 413)])
def test_bad_bodies(cluster, body, status):
    request = urllib.request.Request(
        cluster["gateway_url"] + "/v1/chat/completions", data=body, method="POST",
        headers={"Authorization": "Bearer " + cluster["api_key"], "Content-Type": "application/json"},
    )
    try:
        urllib.request.urlopen(request, timeout=30)
        raised = None
    except urllib.error.HTTPError as error:
        raised = error
    except urllib.error.URLError as error:
        # A server may close the connection on a body that it will not read.
        assert status == 413 and isinstance(error.reason, (BrokenPipeError, ConnectionResetError))
        return
    assert raised is not None and raised.code == status
    assert json.loads(raised.read())["error"]["message"]


def test_unknown_route(cluster):
    request = urllib.request.Request(
        cluster["gateway_url"] + "/v1/nothing", headers={"Authorization": "Bearer " + cluster["api_key"]}
    )
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request, timeout=30)
    assert error.value.code == 404
    assert json.loads(error.value.read())["error"]["message"]


# Cancelling


def test_client_that_goes_away_frees_its_sequence(cluster, client, model):
    stream = client.completions.create(
        model=model, prompt="A very long story:", max_tokens=1500, temperature=0.9, stream=True,
        extra_body={"ignore_eos": True},
    )
    for _ in range(3):
        next(stream)
    assert metric(cluster, "fathom_gateway_streams_active") >= 1
    before = metric(cluster, "fathom_gateway_completion_tokens_total")
    stream.close()
    assert wait_until(lambda: metric(cluster, "fathom_gateway_streams_active") == 0, seconds=5)
    assert metric(cluster, "fathom_gateway_completion_tokens_total") - before < 1500
