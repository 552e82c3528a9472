"""The requests of which `antigravity/` is compared with `gemini/`, and what a model says to each."""

from __future__ import annotations

import httpx
import litellm
from parity_requests import (
    BARE,
    CALLED,
    CITED,
    CLOCK,
    GROUNDED,
    OLD,
    PDF_URL,
    PNG,
    PNG_URL,
    PROBABLE,
    RATED,
    REFERRED,
    REFERRING,
    SAID,
    SCHEMA,
    SIGNATURE,
    SIGNED,
    THOUGHT,
    WEATHER,
    Answer,
    Case,
    Report,
    _begin_with_user,
    _cancel,
    _keep_system_messages,
    _no_arguments,
    _rename,
    _set_schema,
    _with_ids,
    assistant,
    call,
    history,
    json_schema,
    param,
    picture,
    result,
    says,
    text,
    tool,
    user,
    with_schema,
)
from tool_schemas import ANYTHING

from litellm_antigravity.simulator import ModelReply

CASES = [
    # Parameters
    Case("nothing but a message"),
    Case("nothing but a message, older model", model=OLD),
    param("temperature", temperature=0.2),
    param("temperature", OLD, temperature=0.2),
    param("temperature zero", OLD, temperature=0),
    param("top_p", top_p=0.9),
    param("top_k", top_k=20),
    param("top_k", OLD, top_k=20),
    param("max_tokens", max_tokens=100),
    param("max_completion_tokens", max_completion_tokens=100),
    param("one stop", stop="END"),
    param("stops", stop=["END", "STOP"]),
    param("stops", OLD, stop=["END", "STOP"]),
    param("seed", seed=7, drop_params=True),  # LiteLLM 1.90 does not know that Gemini takes it
    param("seed", OLD, seed=7, drop_params=True),
    param("n", n=2),
    param("n", OLD, n=2),
    param("n of one", n=1),
    param("penalties", OLD, frequency_penalty=0.5, presence_penalty=0.25),
    param("penalties", frequency_penalty=0.5, presence_penalty=0.25),
    param("logprobs", OLD, logprobs=True),
    param("modalities", modalities=["text", "image"]),
    param("modality", OLD, modalities=["text"]),
    param("imageConfig", imageConfig={"aspectRatio": "16:9"}),
    param("speechConfig", speechConfig={"languageCode": "no"}),
    param("safety_settings", safety_settings=[{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]),
    param("extra_body", extra_body={"labels": {"team": "a"}}),
    param("max_retries", max_retries=0),
    param("max_retries of two", max_retries=2),
    param("timeout", timeout=30.0),
    param("timeout of httpx", timeout=httpx.Timeout(30.0, connect=5.0)),
    param("request_timeout", request_timeout=30),
    param("extra_headers", extra_headers={"x-extra": "1"}),
    param("headers", headers={"x-extra": "1"}),
    param("user dropped", user="somebody", drop_params=True),
    param("logit_bias dropped", logit_bias={"1": 1}, drop_params=True),
    *(
        param(f"reasoning_effort {effort}", reasoning_effort=effort)
        for effort in ("none", "minimal", "low", "medium", "high", "disable")
    ),
    *(
        param(f"reasoning_effort {effort}", OLD, reasoning_effort=effort)
        for effort in ("none", "minimal", "low", "medium", "high", "disable")
    ),
    param("reasoning_effort as an object", reasoning_effort={"effort": "low", "summary": "auto"}),
    param("thinking", thinking={"type": "enabled", "budget_tokens": 2000}),
    param("thinking", OLD, thinking={"type": "enabled", "budget_tokens": 2000}),
    param("thinking disabled", OLD, thinking={"type": "disabled"}),
    param("thinking disabled", thinking={"type": "disabled"}),
    param("thinking of no tokens", OLD, thinking={"type": "enabled", "budget_tokens": 0}),
    param("thinking without a budget", OLD, thinking={"type": "enabled"}),
    param("thinking adaptive", thinking={"type": "adaptive"}),
    param("thinking adaptive", OLD, thinking={"type": "adaptive"}),
    param(
        "thinking and reasoning_effort",
        OLD,
        thinking={"type": "enabled", "budget_tokens": 2000},
        reasoning_effort="low",
    ),
    param("thinkingConfig", thinkingConfig={"thinkingLevel": "low"}),
    param("json_object", response_format={"type": "json_object"}),
    param("response_format text", response_format={"type": "text"}),
    param(
        "json_schema",
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}},
    ),
    param("json_schema", OLD, response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}),
    param("response_schema", response_format={"type": "json_object", "response_schema": SCHEMA}),
    param("a pydantic model", response_format=Answer),
    param("a pydantic model", OLD, response_format=Answer),
    param("a pydantic model in another", response_format=Report),
    param("a pydantic model in another", OLD, response_format=Report),
    param("json_schema with references", response_format=json_schema(REFERRED)),
    param("json_schema with references", OLD, response_format=json_schema(REFERRED)),
    param("json_schema of a list", response_format=json_schema({"type": "array", "items": {"type": "string"}})),
    param("json_object and a tool", response_format={"type": "json_object"}, tools=[WEATHER]),
    param("json_schema and a tool", OLD, response_format=json_schema(SCHEMA), tools=[WEATHER]),
    param("web_search_options", web_search_options={"search_context_size": "low"}),
    param("web_search_options", OLD, web_search_options={}),
    param("web_search_options and a tool", web_search_options={}, tools=[WEATHER]),
    # Tools
    Case("a tool", {"tools": [WEATHER]}),
    Case("a tool, older model", {"tools": [WEATHER]}, model=OLD),
    Case("two tools", {"tools": [WEATHER, CLOCK]}),
    Case("a tool without parameters", {"tools": [BARE]}),
    Case("a tool with empty parameters", {"tools": [tool("ping", "Ping.", properties={})]}),
    Case("a strict tool", {"tools": [{"type": "function", "function": {**WEATHER["function"], "strict": True}}]}),
    Case(
        "sixty tools", {"tools": [tool(f"tool_{number}", properties={"x": {"type": "string"}}) for number in range(60)]}
    ),
    Case("functions", {"functions": [WEATHER["function"]]}),
    Case("googleMaps", {"tools": [{"googleMaps": {"enableWidget": True}}]}),
    Case(
        "googleMaps at a place",
        {"tools": [{"googleMaps": {"latitude": 37.7, "longitude": -122.4, "languageCode": "en"}}]},
    ),
    Case("enterpriseWebSearch", {"tools": [{"enterpriseWebSearch": {}}]}),
    Case("computer use", {"tools": [{"type": "computer_use", "environment": "browser"}]}),
    Case("search and a tool", {"tools": [{"googleSearch": {}}, WEATHER]}),
    Case("search and a tool, older model", {"tools": [{"googleSearch": {}}, WEATHER]}, model=OLD),
    Case("two searches", {"tools": [{"googleSearch": {}}, {"codeExecution": {}}]}),
    Case(
        "server-side calls reported",
        {"tools": [{"googleSearch": {}}, WEATHER], "include_server_side_tool_invocations": True},
    ),
    Case("declarations in Gemini's own form", {"tools": [{"functionDeclarations": [WEATHER["function"]]}]}),
    Case("a tool name with dots", {"tools": [tool("mcp.weather-now:v1")]}),
    Case("googleSearch", {"tools": [{"googleSearch": {}}]}),
    Case("google_search_retrieval", {"tools": [{"googleSearchRetrieval": {}}]}),
    Case("code_execution", {"tools": [{"codeExecution": {}}]}),
    Case("urlContext", {"tools": [{"urlContext": {}}]}),
    Case("OpenAI's web search", {"tools": [{"type": "web_search_preview"}]}),
    *(
        Case(f"tool_choice {choice}", {"tools": [WEATHER, CLOCK], "tool_choice": choice})
        for choice in ("auto", "none", "required")
    ),
    Case(
        "tool_choice of one",
        {"tools": [WEATHER, CLOCK], "tool_choice": {"type": "function", "function": {"name": "clock"}}},
    ),
    Case("tool_choice as an object", {"tools": [WEATHER], "tool_choice": {"type": "auto"}}),
    Case("tool_choice without tools", {"tool_choice": "auto"}),
    Case("parallel_tool_calls", {"tools": [WEATHER], "parallel_tool_calls": True}),
    Case("no parallel_tool_calls of two tools", {"tools": [WEATHER, CLOCK], "parallel_tool_calls": False}),
    Case("no parallel_tool_calls", {"tools": [WEATHER], "parallel_tool_calls": False}),
    Case("a name that upstream rejects", {"tools": [tool("weather in town")]}, change=_rename),
    with_schema("string", {"type": "string"}),
    with_schema("bounds", {"type": "integer", "minimum": 1, "maximum": 5}),
    with_schema("pattern", {"type": "string", "pattern": "^a", "minLength": 1, "maxLength": 3}),
    with_schema("array", {"type": "array", "items": {"type": "string"}, "minItems": 1}),
    with_schema(
        "array of objects", {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "number"}}}}
    ),
    with_schema("array of anything", {"type": "array"}, {"type": "array", "items": ANYTHING}),
    with_schema(
        "nested objects",
        {"type": "object", "properties": {"a": {"type": "object", "properties": {"b": {"type": "boolean"}}}}},
    ),
    with_schema("enum", {"type": "string", "enum": ["a", "b"], "default": "a"}),
    with_schema("date-time", {"type": "string", "format": "date-time"}),
    with_schema("another format", {"type": "string", "format": "uuid"}),
    with_schema("anyOf", {"anyOf": [{"type": "string"}, {"type": "integer"}]}),
    with_schema("anything", {}, ANYTHING),
    with_schema("title and description", {"type": "string", "title": "T", "description": "D"}),
    with_schema(
        "additionalProperties",
        {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False},
    ),
    with_schema("nullable", {"type": ["string", "null"]}, {"type": "string", "nullable": True}),
    with_schema(
        "anyOf with null", {"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": "string", "nullable": True}
    ),
    with_schema("const", {"const": "a"}, {"type": "string", "enum": ["a"]}),
    with_schema("untyped enum", {"enum": ["a", "b"]}, {"type": "string", "enum": ["a", "b"]}),
    with_schema(
        "enum of integers",
        {"type": "integer", "enum": [1, 5]},
        {"type": "integer", "minimum": 1, "maximum": 5, "description": "One of: 1, 5."},
    ),
    with_schema(
        "oneOf",
        {"oneOf": [{"type": "string"}, {"type": "integer"}]},
        {"anyOf": [{"type": "string"}, {"type": "integer"}]},
    ),
    with_schema("allOf", {"allOf": [{"type": "string"}, {"minLength": 2}]}, {"type": "string", "minLength": 2}),
    Case(
        "schema: references",
        {"tools": [REFERRING]},
    ),
    Case(
        "schema: a property named strict",
        {"tools": [tool(properties={"strict": {"type": "boolean"}})]},
        change=_set_schema({"type": "object", "properties": {"strict": {"type": "boolean"}}}),
    ),
    # Messages
    Case("a system message", says({"role": "system", "content": "Be brief."}, user("Hello"))),
    Case(
        "system messages anywhere",
        says(
            user("Hello"),
            {"role": "system", "content": "Be brief."},
            assistant("Hi"),
            user("More"),
            {"role": "system", "content": "Rhyme."},
        ),
        change=_keep_system_messages,
    ),
    Case(
        "a system message in parts",
        says({"role": "system", "content": [text("Be brief."), text("Rhyme.")]}, user("Hello")),
    ),
    Case("a system message alone", says({"role": "system", "content": "Be brief."})),
    Case("turns", says(user("Hello"), assistant("Hi"), user("How are you?"))),
    Case(
        "turns to be merged", says(user("Hello"), user("You there?"), assistant("Hi"), assistant("Yes"), user("Good"))
    ),
    Case(
        "a conversation that the assistant begins",
        says(assistant("Hi, I am here."), user("Hello")),
        change=_begin_with_user,
    ),
    Case("a conversation that the assistant ends", says(user("Rhyme"), assistant("Roses are"))),
    Case("text in parts", says(user([text("One."), text("Two.")]))),
    Case("an empty message", says(user(""))),
    Case("a blank message", says(user("  \n"))),
    Case("a message of nothing", says(user(None))),
    Case("a message of no parts", says(user([]))),
    Case("an empty part", says(user([text(""), text("Hello")]))),
    Case("an empty system message", says({"role": "system", "content": ""}, user("Hello"))),
    Case("a system message of no parts", says({"role": "system", "content": []}, user("Hello"))),
    Case("an assistant that says nothing", says(user("Hello"), assistant(""), user("Hello?"))),
    Case("an assistant that says None", says(user("Hello"), assistant(None), user("Hello?"))),
    Case("no calls", says(user("Hello"), assistant("Hi", tool_calls=[]), user("Good"))),
    Case("a refusal in the history", says(user("Hello"), assistant("No.", refusal=None, annotations=[]), user("Why?"))),
    Case("a name", says({**user("Hello"), "name": "ada"})),
    Case("messages as objects", says(litellm.Message(role="user", content="Hello"))),
    Case("two hundred turns", says(*[user("And?"), assistant("Well.")] * 100, user("So?"))),
    Case("a very long system message", says({"role": "system", "content": "rule " * 50_000}, user("Hello"))),
    Case("many parts", says(user([text(f"{number}. ") for number in range(500)]))),
    Case("a very long message", says(user("word " * 50_000))),
    Case("text of many scripts", says(user("Grüße, 世界, \U0001f600 \u2028 \x7f"))),
    Case("the assistant's text in parts", says(user("Hello"), assistant([text("Hi")]), user("Good"))),
    Case("reasoning in the history", says(user("Hello"), assistant("Hi", reasoning_content="I greet."), user("Good"))),
    # Media
    Case("an image", says(user([text("What is it?"), {"type": "image_url", "image_url": {"url": PNG_URL}}]))),
    Case("an image as a string", says(user([text("What is it?"), {"type": "image_url", "image_url": PNG_URL}]))),
    Case("an image alone", says(user([{"type": "image_url", "image_url": {"url": PNG_URL}}]))),
    Case(
        "an image in detail",
        says(user([text("?"), {"type": "image_url", "image_url": {"url": PNG_URL, "detail": "high"}}])),
        model=OLD,
    ),
    Case(
        "an image in detail, newer model",
        says(user([text("?"), {"type": "image_url", "image_url": {"url": PNG_URL, "detail": "high"}}])),
    ),
    *(
        Case(
            f"an image in {detail} detail",
            says(user([{"type": "image_url", "image_url": {"url": PNG_URL, "detail": detail}}])),
        )
        for detail in ("auto", "low", "medium", "ultra_high")
    ),
    *(
        Case(f"an image of kind {kind}", says(user([text("?"), picture(f"data:image/{kind};base64,{PNG}")])))
        for kind in ("jpeg", "webp", "gif", "heic")
    ),
    Case(
        "an image whose kind is told",
        says(user([text("?"), {"type": "image_url", "image_url": {"url": PNG_URL, "format": "image/webp"}}])),
    ),
    Case("images between texts", says(user([text("A:"), picture(PNG_URL), text("B:"), picture(PNG_URL), text("?")]))),
    Case("a video", says(user([text("?"), picture("data:video/mp4;base64,AAAAIGZ0eXA=")]))),
    Case(
        "a video as a file",
        says(
            user(
                [
                    text("?"),
                    {
                        "type": "file",
                        "file": {
                            "file_data": "data:video/mp4;base64,AAAAIGZ0eXA=",
                            "format": "video/mp4",
                            "detail": "low",
                            "video_metadata": {"fps": 5, "start_offset": "1s", "end_offset": "9s"},
                        },
                    },
                ]
            )
        ),
    ),
    Case(
        "a file of Gemini's own",
        says(
            user(
                [
                    text("?"),
                    {
                        "type": "file",
                        "file": {
                            "file_id": "https://generativelanguage.googleapis.com/v1beta/files/abc",
                            "format": "application/pdf",
                        },
                    },
                ]
            )
        ),
    ),
    Case(
        "a PDF with a name",
        says(user([text("Sum up."), {"type": "file", "file": {"file_data": PDF_URL, "filename": "a.pdf"}}])),
    ),
    Case("a text file", says(user([{"type": "file", "file": {"file_data": "data:text/plain;base64,aGVsbG8="}}]))),
    Case(
        "audio as MP3",
        says(user([text("?"), {"type": "input_audio", "input_audio": {"data": "SUQzBAA=", "format": "mp3"}}])),
    ),
    Case("a PDF", says(user([text("Sum up."), {"type": "file", "file": {"file_data": PDF_URL}}]))),
    Case("a PDF as an image", says(user([text("Sum up."), {"type": "image_url", "image_url": PDF_URL}]))),
    Case(
        "audio",
        says(
            user([text("What is said?"), {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}])
        ),
    ),
    Case(
        "an image that the assistant made",
        says(user("Draw"), assistant("There.", images=[picture(PNG_URL)]), user("Again")),
    ),
    Case(
        "an image in the assistant's parts",
        says(user("Draw"), assistant([text("There."), picture(PNG_URL)]), user("Again")),
    ),
    # Histories with tools
    Case("a tool result", history(assistant(tool_calls=[call("1")]), result("1"))),
    Case("a tool result, older model", history(assistant(tool_calls=[call("1")]), result("1")), model=OLD),
    Case("text and a call", history(assistant("I look.", tool_calls=[call("1")]), result("1"), user("Thanks"))),
    Case(
        "parallel calls",
        history(assistant(tool_calls=[call("1"), call("2", arguments='{"place": "Rome"}')]), result("1"), result("2")),
    ),
    Case(
        "results in another order",
        history(assistant(tool_calls=[call("1"), call("2", arguments='{"place": "Rome"}')]), result("2"), result("1")),
    ),
    Case(
        "calls in a row",
        history(
            assistant(tool_calls=[call("1")]),
            result("1"),
            assistant(tool_calls=[call("2")]),
            result("2"),
            user("Thanks"),
        ),
    ),
    Case("a result that is text", history(assistant(tool_calls=[call("1")]), result("1", "grey"))),
    Case("a result that is a list", history(assistant(tool_calls=[call("1")]), result("1", "[1, 2]"))),
    Case("an empty result", history(assistant(tool_calls=[call("1")]), result("1", ""))),
    Case("a result of no parts", history(assistant(tool_calls=[call("1")]), result("1", []))),
    Case("a very long result", history(assistant(tool_calls=[call("1")]), result("1", "line\n" * 50_000))),
    Case("a result that names its tool", history(assistant(tool_calls=[call("1")]), result("1", name="weather"))),
    Case("a result and words", history(assistant(tool_calls=[call("1")]), result("1"), user("And Rome?"))),
    Case("a call without a result", history(assistant(tool_calls=[call("1")]), user("Never mind.")), change=_cancel),
    Case("one id for two calls", history(*[assistant(tool_calls=[call("1")]), result("1")] * 2)),
    Case(
        "deep arguments",
        history(
            assistant(tool_calls=[call("1", arguments='{"a": {"b": [1, {"c": null}], "snake_case": "\\u00e5"}}')]),
            result("1"),
        ),
    ),
    Case("a result in parts", history(assistant(tool_calls=[call("1")]), result("1", [text("grey"), text("wet")]))),
    Case(
        "a result with an image",
        history(
            assistant(tool_calls=[call("1")]),
            result("1", [text("See"), {"type": "image_url", "image_url": {"url": PNG_URL}}]),
        ),
    ),
    Case(
        "a result with a PDF",
        history(assistant(tool_calls=[call("1")]), result("1", [{"type": "file", "file": {"file_data": PDF_URL}}])),
    ),
    Case(
        "a call without arguments",
        history(assistant(tool_calls=[call("1", arguments="")]), result("1")),
        change=_no_arguments,
    ),
    Case(
        "a function call of old",
        says(
            user("Weather?"),
            assistant(function_call={"name": "weather", "arguments": "{}"}),
            {"role": "function", "name": "weather", "content": "grey"},
        )
        | {"functions": [WEATHER["function"]]},
        change=_with_ids,
    ),
    Case(
        "a signature in the id",
        history(assistant(tool_calls=[call(f"1__thought__{SIGNATURE}")]), result(f"1__thought__{SIGNATURE}")),
    ),
    Case(
        "a signature in the fields",
        history(
            assistant(tool_calls=[call("1", provider_specific_fields={"thought_signature": SIGNATURE})]), result("1")
        ),
    ),
    Case(
        "a signature in the function's fields",
        history(
            assistant(
                tool_calls=[
                    {
                        "id": "1",
                        "type": "function",
                        "function": {
                            "name": "weather",
                            "arguments": "{}",
                            "provider_specific_fields": {"thought_signature": SIGNATURE},
                        },
                    }
                ]
            ),
            result("1"),
        ),
    ),
    Case(
        "a signature of the first of parallel calls",
        history(
            assistant("I look.", tool_calls=[call(f"1__thought__{SIGNATURE}"), call("2", arguments="{}")]),
            result(f"1__thought__{SIGNATURE}"),
            result("2"),
        ),
    ),
    Case(
        "one signature for text and call",
        history(
            assistant(
                "I look.",
                tool_calls=[call(f"1__thought__{SIGNATURE}")],
                provider_specific_fields={"thought_signatures": [SIGNATURE]},
            ),
            result(f"1__thought__{SIGNATURE}"),
        ),
    ),
    Case(
        "unsigned calls, older model",
        history(assistant("I look.", tool_calls=[call("1"), call("2", arguments="{}")]), result("1"), result("2")),
        model=OLD,
    ),
    Case(
        "a signature of a text",
        says(
            user("Hello"), assistant("Hi", provider_specific_fields={"thought_signatures": [SIGNATURE]}), user("Good")
        ),
    ),
    # Replies
    Case("reply: a call", {"tools": [WEATHER]}, CALLED),
    Case(
        "reply: a call with an id",
        {"tools": [WEATHER]},
        [{"functionCall": {"id": "fc_1", "name": "weather", "args": {}}}],
    ),
    Case("reply: a signed call", {"tools": [WEATHER]}, SIGNED),
    Case(
        "reply: parallel calls",
        {"tools": [WEATHER]},
        [*SIGNED, {"functionCall": {"name": "weather", "args": {"place": "Rome"}}}],
    ),
    Case("reply: text and a call", {"tools": [WEATHER]}, [{"text": "I look it up."}, *CALLED]),
    Case("reply: a function call of old", {"functions": [WEATHER["function"]]}, CALLED),
    Case("reply: thoughts", {"reasoning_effort": "low"}, ModelReply(THOUGHT)),
    Case("reply: thoughts and a call", {"tools": [WEATHER]}, [THOUGHT[0], *SIGNED]),
    Case("reply: a signed text", {}, [{"text": "Signed words, four of them.", "thoughtSignature": SAID}]),
    Case("reply: an image", {"modalities": ["image"]}, [{"inlineData": {"mimeType": "image/png", "data": PNG}}]),
    Case("reply: of many scripts", {}, "Grüße, 世界, \U0001f600."),  # LiteLLM breaks synchronous streams at U+2028
    Case("reply: cut off", {}, ModelReply([{"text": "Not the whole"}], "MAX_TOKENS")),
    Case("reply: filtered", {}, ModelReply([{"text": "I will not"}], "SAFETY")),
    Case("reply: recitation", {}, ModelReply([{"text": "Once upon"}], "RECITATION")),
    *(
        Case(f"reply: {reason}", {}, ModelReply([{"text": "Not all"}], reason))
        for reason in (
            "PROHIBITED_CONTENT",
            "BLOCKLIST",
            "SPII",
            "OTHER",
            "LANGUAGE",
            "IMAGE_SAFETY",
        )
    ),
    Case("reply: text before and after a thought", {}, [{"text": "Well. "}, THOUGHT[0], {"text": "Here it is."}]),
    Case("reply: text after a call", {"tools": [WEATHER]}, [*CALLED, {"text": "I have asked."}]),
    Case("reply: text and an image", {}, [{"text": "There."}, {"inlineData": {"mimeType": "image/png", "data": PNG}}]),
    Case("reply: a cut-off thought", {}, ModelReply(THOUGHT[:1], "MAX_TOKENS")),
    Case(
        "reply: code and what it printed",
        {"tools": [{"codeExecution": {}}]},
        [
            {"text": "I compute. "},
            {"executableCode": {"language": "PYTHON", "code": "print(6 * 7)"}},
            {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "42\n"}},
            {"text": "It is 42."},
        ],
    ),
    Case("reply: grounded", {"web_search_options": {}}, ModelReply([{"text": "It rains in Oslo."}], about=GROUNDED)),
    Case("reply: cited", {}, ModelReply([{"text": "Once upon a time"}], about=CITED)),
    Case("reply: rated", {}, ModelReply([{"text": "Mild words."}], about=RATED)),
    Case("reply: probable", {"logprobs": True}, ModelReply([{"text": "Yes."}], about=PROBABLE), OLD),
    Case(
        "reply: cached tokens",
        {},
        ModelReply([{"text": "Cheap words."}], usage={"promptTokenCount": 90, "cachedContentTokenCount": 60}),
    ),
    Case("reply: reasoning tokens", {}, ModelReply(THOUGHT, usage={"thoughtsTokenCount": 40})),
    Case(
        "reply: tokens by kind",
        {},
        ModelReply(
            [{"text": "Many words."}],
            usage={
                "promptTokenCount": 300,
                "cachedContentTokenCount": 60,
                "toolUsePromptTokenCount": 7,
                "promptTokensDetails": [
                    {"modality": "TEXT", "tokenCount": 42},
                    {"modality": "IMAGE", "tokenCount": 258},
                ],
                "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 60}],
                "candidatesTokensDetails": [{"modality": "TEXT", "tokenCount": 3}],
            },
        ),
    ),
]

MESSAGES = [user("Hello")]
