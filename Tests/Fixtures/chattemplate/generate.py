"""Makes cases.json: templates, variables and what Jinja2 renders, set up as transformers sets it up.

Run with a Python that has jinja2:  python3 generate.py [more templates to try, printed as JSON to stdout]
"""
import datetime
import json
import pathlib
import sys

import jinja2
from jinja2.exceptions import TemplateError
from jinja2.ext import loopcontrols, Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment

HERE = pathlib.Path(__file__).parent
NOW = 1723380367  # 2024-08-11 12:46:07 UTC


class Generation(Extension):
    tags = {"generation"}

    def parse(self, parser):
        next(parser.stream)
        return parser.parse_statements(["name:endgeneration"], drop_needle=True)


def raise_exception(message):
    raise TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment():
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda f: datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc).strftime(f)
    return env


TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "description": "Weather of a \"place\" — now", "parameters": {
        "type": "object", "properties": {"city": {"type": "string", "description": "City <name>"},
                                         "unit": {"type": "string", "enum": ["c", "f"]}}, "required": ["city"]}}},
    {"type": "function", "function": {"name": "add", "description": "Add numbers", "parameters": {
        "type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}, "required": ["a", "b"]}}},
]
PLAIN = [{"role": "user", "content": "Hi there!"}]
SYSTEM = [{"role": "system", "content": "Be brief.\nBe kind."}] + PLAIN
DIALOG = SYSTEM + [{"role": "assistant", "content": "Hello! 你好 😀"}, {"role": "user", "content": "  Tell 'me' \"more\" <b>  "}]
CALLS = [
    {"role": "user", "content": "Weather in Köln?"},
    {"role": "assistant", "content": "", "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": {"city": "Köln", "unit": "c"}}},
        {"id": "c2", "type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": 2.5}}}]},
    {"role": "tool", "tool_call_id": "c1", "content": "{\"temp\": 21.5}"},
    {"role": "tool", "tool_call_id": "c2", "content": "3.5"},
    {"role": "assistant", "content": "<think>\nEasy.\n</think>\n\n21.5 °C"},
    {"role": "user", "content": [{"type": "text", "text": "Thanks"}, {"type": "image"}, {"type": "text", "text": "!"}]},
]

CHATS = {
    "chatml": "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "default-system": "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou help.<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] | trim + '<|im_end|>' + '\n'}}{% endfor %}",
    "tools-xml": """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- "# Functions\\n\\nSignatures:\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools>\\nAnswer as {\\"name\\": <function-name>}<|im_end|>\\n" }}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(multi_step=true, last=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step and message.role == "user" and message.content is string and not(message.content.startswith('<tool>') and message.content.endswith('</tool>')) %}
        {%- set ns.multi_step = false %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = message.content | selectattr('type', 'equalto', 'text') | map(attribute='text') | join(' ') %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning = '' %}
        {%- if message.reasoning is string %}
            {%- set reasoning = message.reasoning %}
        {%- else %}
            {%- if '</think>' in content %}
                {%- set reasoning = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last %}
            {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {%- if (loop.first and content) or (not loop.first) %}
                    {{- '\\n' }}
                {%- endif %}
                {%- if tool_call.function %}
                    {%- set tool_call = tool_call.function %}
                {%- endif %}
                {{- '<tool_call>\\n{"name": "' }}
                {{- tool_call.name }}
                {{- '", "arguments": ' }}
                {%- if tool_call.arguments is string %}
                    {{- tool_call.arguments }}
                {%- else %}
                    {{- tool_call.arguments | tojson }}
                {%- endif %}
                {{- '}\\n</tool_call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' + content + '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
""",
    "headers-date": """{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}

{#- The system message comes first. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start|>system<|end|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: python\\n" }}
{%- endif %}
{%- if builtin_tools is defined %}
    {{- "Tools: " + builtin_tools | reject('equalto', 'code') | join(", ") + "\\n\\n"}}
{%- endif %}
{{- "Today: " + date_string + "\\n\\n" }}
{%- if tools is not none %}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message }}
{{- "<|eot|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start|>' + message['role'] + '<|end|>\\n\\n' }}
        {%- if message['content'] is string %}{{ message['content'] | trim }}
        {%- else %}{% for part in message['content'] %}{{ part['text'] if part['type'] == 'text' else '<|image|>' }}{% endfor %}
        {%- endif %}
        {{- '<|eot|>' }}
    {%- elif 'tool_calls' in message %}
        {%- for tool_call in message.tool_calls %}
        {%- set tool_call = tool_call.function %}
        {{- tool_call.name + "(" }}
        {%- for arg_name, arg_val in tool_call.arguments | items %}
            {{- arg_name + '="' ~ arg_val ~ '"' }}
            {%- if not loop.last %}
                {{- ", " }}
            {%- endif %}
        {%- endfor %}
        {{- ")" }}
        {%- endfor %}
        {{- "<|eom|>" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {%- if message.content is mapping or message.content is iterable and message.content is not string %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start|>assistant<|end|>\\n\\n' }}
{%- endif %}
""",
    "turns-alternate": """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set first_user_prefix = messages[0]['content'] + '

' -%}
    {%- else -%}
        {%- set first_user_prefix = messages[0]['content'][0]['text'] + '

' -%}
    {%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Conversation roles must alternate user/assistant/user/assistant/...") }}
    {%- endif -%}
    {%- if (message['role'] == 'assistant') -%}
        {%- set role = "model" -%}
    {%- else -%}
        {%- set role = message['role'] -%}
    {%- endif -%}
    {{ '<start_of_turn>' + role + '
' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'image' -%}
                {{ '<start_of_image>' }}
            {%- elif item['type'] == 'text' -%}
                {{ item['text'] | trim }}
            {%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{ raise_exception("Invalid content type") }}
    {%- endif -%}
    {{ '<end_of_turn>
' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{'<start_of_turn>model
'}}
{%- endif -%}
""",
    "one-line-namespace": "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% set ns = namespace(is_first=false, is_tool=false, is_output_first=true, system_prompt='', is_first_sp=true) %}{%- for message in messages %}{%- if message['role'] == 'system' %}{%- if ns.is_first_sp %}{% set ns.system_prompt = ns.system_prompt + message['content'] %}{% set ns.is_first_sp = false %}{%- else %}{% set ns.system_prompt = ns.system_prompt + '\\n\\n' + message['content'] %}{%- endif %}{%- endif %}{%- endfor %}{{ bos_token }}{{ ns.system_prompt }}{%- for message in messages %}{%- if message['role'] == 'user' %}{%- set ns.is_tool = false -%}{{'<｜User｜>' + (message['content'] if message['content'] is string else message['content'][0]['text'])}}{%- endif %}{%- if message['role'] == 'assistant' and 'tool_calls' in message %}{%- set ns.is_tool = false -%}{%- for tool in message['tool_calls'] %}{%- if not ns.is_first %}{{'<｜Assistant｜><｜calls｜><｜call｜>' + tool['type'] + '<｜sep｜>' + tool['function']['name'] + '\\n' + '```json' + '\\n' + tool['function']['arguments']|tojson + '\\n' + '```' + '<｜end｜>'}}{%- set ns.is_first = true -%}{%- else %}{{'\\n' + '<｜call｜>' + tool['type'] + '<｜sep｜>' + tool['function']['name'] + '<｜end｜>'}}{{'<｜calls end｜>'}}{%- endif %}{%- endfor %}{%- endif %}{%- if message['role'] == 'assistant' and 'tool_calls' not in message %}{% set content = message['content'] %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}{{'<｜Assistant｜>' + content + '<｜eos｜>'}}{%- endif %}{%- if message['role'] == 'tool' %}{%- set ns.is_tool = true -%}{%- if ns.is_output_first %}{{'<｜outputs｜><｜output｜>' + message['content'] + '<｜out end｜>'}}{%- set ns.is_output_first = false %}{%- else %}{{'\\n<｜output｜>' + message['content'] + '<｜out end｜>'}}{%- endif %}{%- endif %}{%- endfor -%}{% if ns.is_tool %}{{'<｜outputs end｜>'}}{% endif %}{% if add_generation_prompt and not ns.is_tool %}{{'<｜Assistant｜><think>\\n'}}{% endif %}",
    "typescript-macros": """{%- macro render_type(param, required=true, depth=0) -%}
    {%- if param.enum is defined -%}
        {%- for value in param.enum -%}{{ '"' ~ value ~ '"' }}{{ " | " if not loop.last }}{%- endfor -%}
    {%- elif param.type == "object" and param.properties -%}
        {{- "{\\n" }}
        {%- for name, sub in param.properties.items() -%}
            {{- "  " * (depth + 1) }}{{ "// " + sub.description + "\\n" + "  " * (depth + 1) if sub.description }}{{ name }}{{ "?" if name not in (param.required or []) }}: {{ render_type(sub, depth=depth + 1) }}{{ ",\\n" }}
        {%- endfor -%}
        {{- "  " * depth + "}" }}
    {%- else -%}{{ {"string": "str", "number": "num"}.get(param.type, "any") }}
    {%- endif -%}
{%- endmacro -%}
{%- for tool in tools or [] %}{% set f = tool.function %}
type {{ f.name }} = (_: {{ render_type(f.parameters) }}) => any;
{% endfor -%}
{%- for m in messages if m.role != 'tool' -%}
[{{ loop.index }}/{{ loop.length }} {{ m.role | upper }}]{% generation %}{{ m.content if m.content is string else m.content | map(attribute='type') | list }}{% endgeneration %}

{% else %}nothing{% endfor -%}""",
}

# name, template, variables
UNITS = [
    ("whitespace trim", "a\n  {% if true %}\n  b\n  {% endif %}\nc {{- ' d ' -}}  e\n{#- gone -#}\n f\n{% if true +%}\n g{% endif %}\n  {%+ if true %}x{% endif %}\n", {}),
    ("whitespace comments", "  {# c #}\nx {# c #} y\n\t{# c #}\n{# c -#}\n\n z\n\n", {}),
    ("whitespace variables", "  {{ 1 }}\n  {{ 2 -}}\n 3 {{- 4 }}\n\n", {}),
    ("crlf", "a\r\n{% if true %}\r\nb\r\n{% endif %}\r\nc\r\n", {}),
    ("line start after block", "{% if true %}\n  {% set x = 1 %}\n  {{ x }}{% endif %}  {% if x %}y{% endif %}", {}),
    ("raw", "{% raw %}{{ a }} {% b %}{% endraw %}\n  {%- raw -%}  x  {%- endraw -%}  y", {}),
    ("arithmetic", "{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 1 + 2 * 3 - 4 }} {{ (1 + 2) * 3 }} {{ 1.5 + 1 }} {{ 5.5 // 2 }} {{ -5.5 % 2 }} {{ 'ab' * 3 }} {{ [1] * 2 + [3] }} {{ -3 | abs }} {{ 1_000 }} {{ 2 ** 3 ** 2 }} {{ -2 ** 2 }} {{ true + 1 }}", {}),
    ("floats", "{{ 1e16 }} {{ 1e15 }} {{ 123456789012345680.0 }} {{ 0.0001 }} {{ 0.00001 }} {{ 1.0 }} {{ 0.1 + 0.2 }} {{ 1e100 }} {{ 100.0 }} {{ 1.5e-7 }} {{ -0.0 }} {{ [1.0, 2.5] }} {{ x }}", {"x": 12345.678}),
    ("comparison", "{{ 1 < 2 <= 2 }} {{ 1 < 2 > 3 }} {{ 'a' < 'b' }} {{ 1 == 1.0 }} {{ true == 1 }} {{ 'a' in 'cat' }} {{ 'x' not in ['x'] }} {{ 'k' in {'k': 1} }} {{ [1, 2] == [1, 2] }} {{ (1, 2) < (1, 3) }} {{ none == none }} {{ not 1 == 2 }} {{ 1 != 2 and not false or x }} {{ 'é' == 'e\\u0301' }}", {"x": 5}),
    ("and or values", "{{ 0 or 'a' }} {{ 1 and 'b' }} {{ '' and 1 }}| {{ none or [] }} {{ 'x' if 0 }}| {{ 'x' if 0 else 'y' if 0 else 'z' }}", {}),
    ("literals", "{{ [1, 'a', none, true, 1.5, [], {}] }} {{ (1,) }} {{ () }} {{ (1, 2) }} {{ {'a': 1, \"b\": [2], 3: 'x'} }} {{ 'it\\'s' }} {{ ['it\\'s', \"q\\\"\", 'n\\n\\t\\\\', 'é😀\\x07\\u200b'] }} {{ 'a' 'b' \"c\" }} {{ '\\d\\x41\\u00e9' }}", {}),
    ("items and slices", "{{ a[0] }} {{ a[-1] }} {{ a[1:] }} {{ a[:-1] }} {{ a[::-1] }} {{ a[::2] }} {{ a[5:1:-2] }} {{ s[1:3] }} {{ s[::-1] }} {{ s[-1] }} {{ d.x.y }} {{ d['x']['y'] }} {{ d.x['z'] }}| {{ d.nope }}| {{ a[99] }}| {{ a.0 }} {{ d['items'] }} {{ s[100:] }}|", {"a": [1, 2, 3, 4], "s": "añ😀b", "d": {"x": {"y": 1}, "items": "own"}}),
    ("for", "{% for x in a %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem }}|{{ loop.nextitem }}{{ loop.cycle('o', 'e') }}{{ loop.changed(x) }};{% endfor %}{% for x in [] %}{% else %}none{% endfor %}{% for k, v in d.items() %}{{ k }}={{ v }}{{ ',' if not loop.last }}{% endfor %}{% for k in d %}{{ k }}{% endfor %}{% for c in 'héy' %}<{{ c }}>{% endfor %}{% for x in nope %}x{% endfor %}{% for (a, b), c in [((1, 2), 3)] %}{{ a }}{{ b }}{{ c }}{% endfor %}", {"a": ["p", "p", "q"], "d": {"b": 1, "a": 2}}),
    ("for filter", "{% for x in range(10) if x % 3 == 0 %}{{ x }}/{{ loop.length }} {% endfor %}{% for i in range(2, 10, 3) %}{{ i }}{% endfor %}{% for i in range(3, 0, -1) %}{{ i }}{% endfor %}{% for i in [1, 2, 3] %}{% for j in 'ab' %}{{ loop.depth }}{{ i }}{{ j }}{% endfor %}{% endfor %}", {}),
    ("break continue", "{% for x in range(10) %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 5 %}{% break %}{% endif %}{{ x }}{% endfor %}", {}),
    ("scopes", "{% set x = 1 %}{% for i in [1, 2] %}{% set x = x + i %}{{ x }} {% endfor %}{{ x }} {% if true %}{% set x = 9 %}{% endif %}{{ x }} {% set ns = namespace(n=0, s='a') %}{% for i in range(4) %}{% set ns.n = ns.n + i %}{% set ns.s = ns.s ~ i %}{% endfor %}{{ ns.n }}{{ ns.s }} {% with a = 1, b = x %}{{ a }}{{ b }}{% set x = 5 %}{% endwith %}{{ x }}{{ a }}", {}),
    ("set forms", "{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set t = 1, 2 %}{{ t }}{% set b %}  block {{ a }} {% endset %}[{{ b }}]{% set c | trim | upper %}  x {{ a }} {% endset %}[{{ c }}]{% filter upper %}abc {{ a }}{% endfilter %}", {}),
    ("macros", "{% macro f(a, b='x', c=none) %}<{{ a }}-{{ b }}-{{ c }}>{% endmacro %}{{ f(1) }}{{ f(1, 2, 3) }}{{ f(b=1, a=2) }}{{ f() }}{% macro g(n) %}{{ n }}{% if n > 0 %},{{ g(n - 1) }}{% endif %}{% endmacro %}{{ g(3) }}{% macro box() %}[{{ caller() }}]{% endmacro %}{% call box() %}in{% endcall %}{% macro each(xs) %}{% for x in xs %}{{ caller(x) }}{% endfor %}{% endmacro %}{% call(x) each([1, 2]) %}({{ x }}){% endcall %}{{ f.name }}", {}),
    ("text filters", "{{ ' a ' | trim }}|{{ 'xxaxx' | trim('x') }} {{ 'aB' | upper }} {{ 'aB' | lower }} {{ 'hello wORLD' | capitalize }} {{ \"it's a-b (c) d\" | title }} {{ 'aXbX' | replace('X', '-') }} {{ 'aXbX' | replace('X', '-', 1) }} {{ '<a href=\"x\">&\\'' | escape }} {{ 5 | string + '!' }} {{ 'a b  c' | wordcount }} {{ '%s is %d or %.2f' | format('x', 3, 1.5) }} {{ '%s-%s' % ('a', 1) }} {{ 'abc' | reverse }} {{ 'abc' | length }} {{ 'a' | safe }} {{ '😀é' | length }}", {}),
    ("indent", "{{ 'a\\nb\\n\\nc' | indent }}|{{ 'a\\nb' | indent(2, true) }}|{{ 'a\\n\\nb' | indent(2, blank=true) }}|{{ 'a\\nb' | indent('>>') }}|{{ 'a\\nb\\n' | indent(1) }}|", {}),
    ("list filters", "{{ [3, 1, 2] | sort }} {{ ['b', 'A', 'c'] | sort }} {{ ['b', 'A'] | sort(case_sensitive=true) }} {{ [1, 2] | sort(reverse=true) }} {{ a | sort(attribute='n') | map(attribute='s') | join(',') }} {{ [1, 2, 1] | unique | list }} {{ ['a', 'A'] | unique | list }} {{ [1, 2] | join }} {{ [1, 2] | join('-') }} {{ a | join(',', attribute='s') }} {{ [1, 2] | first }} {{ [1, 2] | last }} {{ [] | first }}| {{ 'abc' | list }} {{ [1, 2, 3] | sum }} {{ a | sum(attribute='n') }} {{ [1, 3] | max }} {{ [1, 3] | min }} {{ [1, 2] | reverse | list }} {{ {'b': 1, 'a': 2} | dictsort }} {{ {'b': 1, 'a': 2} | dictsort(by='value') }} {{ {'a': 1} | items | list }} {{ [1, 2] | length }} {{ {'a': 1} | count }}", {"a": [{"n": 2, "s": "two"}, {"n": 1, "s": "one"}]}),
    ("select filters", "{{ [0, 1, 2, 3] | select | list }} {{ [0, 1, 2, 3] | select('odd') | list }} {{ [0, 1, 2, 3] | reject('odd') | list }} {{ [1, 2, 3] | select('gt', 1) | list }} {{ a | selectattr('r', 'equalto', 'u') | map(attribute='c') | list }} {{ a | rejectattr('r', 'in', ['u', 'x']) | map(attribute='c') | list }} {{ a | selectattr('opt') | list | length }} {{ a | selectattr('opt', 'defined') | list | length }} {{ ['a', 'b'] | map('upper') | join }} {{ a | map(attribute='opt', default='-') | join }} {{ a | map(attribute='in.x') | list }}", {"a": [{"r": "u", "c": 1, "in": {"x": 1}}, {"r": "a", "c": 2, "opt": 7, "in": {"x": 2}}]}),
    ("number filters", "{{ '42' | int }} {{ ' 7 ' | int }} {{ 'x' | int }} {{ 'x' | int(5) }} {{ 3.9 | int }} {{ '3.9' | int }} {{ '1.5' | float }} {{ 'x' | float }} {{ 2.567 | round(1) }} {{ 2.5 | round }} {{ 3.5 | round }} {{ 2.1 | round(method='ceil') }} {{ 2.9 | round(0, 'floor') }} {{ -3.5 | abs }} {{ 4 | float }} {{ 7 | round }}", {}),
    ("default", "{{ x | default('a') }} {{ none | default('a') }} {{ '' | default('a', true) }} {{ none | d('b', boolean=true) }} {{ d.x | default(1) }} {{ x | default }}|", {"d": {}}),
    ("tojson", "{{ v | tojson }}\n{{ v | tojson(indent=2) }}\n{{ [] | tojson }} {{ {} | tojson(indent=2) }} {{ v | tojson(sort_keys=true) }} {{ v | tojson(separators=(',', ':')) }} {{ 'a\\n\\u0001\"\\\\/é😀<>&\\'' | tojson }} {{ (1, 2) | tojson }} {{ none | tojson }} {{ {1: 2} | tojson }}", {"v": {"b": [1, 2.0, 1e20, None, True, {"x": "ü"}], "a": {}, "c": []}}),
    ("tests", "{{ x is defined }} {{ y is defined }} {{ y is undefined }} {{ none is none }} {{ 'a' is string }} {{ {} is mapping }} {{ [] is sequence }} {{ 'a' is iterable }} {{ 1 is iterable }} {{ 1 is number }} {{ 1.5 is number }} {{ 1 is integer }} {{ true is integer }} {{ 1.0 is float }} {{ true is boolean }} {{ true is true }} {{ 0 is false }} {{ 1 is equalto 1 }} {{ 1 is in [1, 2] }} {{ 4 is divisibleby 2 }} {{ 3 is odd }} {{ 3 is not even }} {{ 1 is eq 1 and 2 is gt 1 }} {{ 'A' is upper }} {{ 'a' is lower }} {{ f is callable }} {{ x is not none and x is not string }} {{ 2 is ge(2) }} {{ not x is defined }} {{ true is number }}", {"x": 1}),
    ("string methods", "{{ ' a '.strip() }}|{{ 'xax'.lstrip('x') }}|{{ 'xax'.rstrip('x') }}|{{ 'a,b,c'.split(',') }} {{ 'a,b,c'.split(',', 1) }} {{ ' a  b '.split() }} {{ 'a b c'.split(None, 1) }} {{ 'a,b,c'.rsplit(',', 1) }} {{ 'a\\nb\\r\\nc'.splitlines() }} {{ 'abc'.startswith('ab') }} {{ 'abc'.endswith(('x', 'c')) }} {{ 'aaa'.replace('a', 'b', 2) }} {{ 'ab'.replace('', '-') }} {{ 'aB'.upper() }} {{ 'aB'.lower() }} {{ \"they're x2y\".title() }} {{ 'hELLO'.capitalize() }} {{ 'héllo'.find('l') }} {{ 'abcabc'.rfind('b') }} {{ 'aXbX'.count('X') }} {{ ', '.join(['a', 'b']) }} {{ '12'.isdigit() }} {{ 'ab'.isalpha() }} {{ ' '.isspace() }} {{ 'AB'.isupper() }} {{ 'prefix-x'.removeprefix('prefix-') }} {{ 'x.txt'.removesuffix('.txt') }} {{ '7'.zfill(3) }} {{ 'a'.ljust(3) }}| {{ '{} {0}'.format('a') if false else '{} {}'.format('a', 1) }} {{ '{a}{{}}'.format(a=2) }}", {}),
    ("dict methods", "{{ d.items() | list }} {{ d.keys() | list }} {{ d.values() | list }} {{ d.get('a') }} {{ d.get('z') }} {{ d.get('z', 5) }} {{ dict(a=1, b=2) }} {{ dict([('x', 1)], y=2) }} {{ [1, 2, 1].count(1) }} {{ [1, 2].index(2) }}", {"d": {"a": 1, "b": [1]}}),
    ("printing", "{{ v }} {{ none }} {{ true }} {{ undefined_thing }}| {{ [undefined_thing] | length }} {{ 1.0 }} {{ '' ~ none ~ 1.5 ~ [1, 'a'] }} {{ v['k\"'] }}", {"v": {"a": [1, None, False, "x'y"], "k\"": "é"}}),
    ("dates", "{{ strftime_now('%Y-%m-%d %H:%M:%S %A %a %B %b %j %y %p %I %%') }} {{ strftime_now('%d %b %Y') }}", {}),
    ("chained", "{{ ('a' if x else 'b') ~ (1 if not x else 2) }} {{ x.y.z if x.y is defined else 'no' }} {{ (x.y or {}).z | default('dz') }} {{ [x, 1][0].q is defined }} {{ {'a': {'b': [10, 20]}}.a.b[1] }} {{ 'abc'[1] | upper ~ 'x' }} {{ 1 if x is mapping and 'q' in x else 0 }} {{ x['q'] | length > 1 }} {{ (x.q | first) | upper }}", {"x": {"q": ["first", "second"]}}),
    ("unicode", "{{ 'Straße' | upper }} {{ 'ÀÉ' | lower }} {{ 'e\\u0301' | length }} {{ s | tojson }} {{ s[0] }} {% for c in s %}{{ c }}.{% endfor %} {{ '日本' in s }}", {"s": "日本語👨‍👩‍👧"}),
    ("braces in expressions", "{{ {'a': {'b': 1}}['a']['b'] }} {{ {'x': {}} }} {{- {'a': 1} -}} }} %} {{ '}}' }} {{ '%}' }}", {}),
]

# name, template, variables, whether the template itself raises
ERRORS = [
    ("raise", "line one\n{{ raise_exception('Only user and assistant roles are supported: ' ~ r) }}", {"r": "x"}, True),
    ("attribute of undefined", "{{ a.b.c }}", {}, False),
    ("call of undefined", "{{ nope() }}", {}, False),
    ("undefined operand", "{{ 'a' + nope }}", {}, False),
    ("type mismatch", "{{ 'a' + 1 }}", {}, False),
    ("division by zero", "{{ 1 // 0 }}", {}, False),
    ("unorderable", "{{ 1 < 'a' }}", {}, False),
    ("not iterable", "{% for x in 5 %}{% endfor %}", {}, False),
    ("append is unsafe", "{% set a = [] %}{{ a.append(1) }}", {}, False),
    ("unpack", "{% for a, b in [[1]] %}{% endfor %}", {}, False),
]


def main():
    env = environment()
    cases, errors = [], []
    for name, source in CHATS.items():
        for label, messages, extra in [
            ("plain", PLAIN, {}), ("system", SYSTEM, {}), ("dialog", DIALOG, {"tools": None}),
            ("tools", SYSTEM, {"tools": TOOLS}), ("calls", CALLS, {"tools": TOOLS, "enable_thinking": False, "builtin_tools": ["code", "search"]}),
        ]:
            for prompt in (True, False):
                variables = {"messages": messages, "add_generation_prompt": prompt, "bos_token": "<s>", "eos_token": "</s>", "tools": None, **extra}
                case = {"name": f"{name}, {label}, {'with' if prompt else 'without'} generation prompt", "template": source, "variables": variables}
                try:
                    case["expected"] = env.from_string(source).render(**variables)
                    cases.append(case)
                except Exception as error:
                    errors.append({**case, "raised": str(error) if type(error) is TemplateError else None})
    for name, source, variables in UNITS:
        cases.append({"name": name, "template": source, "variables": variables, "expected": env.from_string(source).render(**variables)})
    for name, source, variables, raises in ERRORS:
        try:
            env.from_string(source).render(**variables)
        except Exception as error:
            errors.append({"name": name, "template": source, "variables": variables, "raised": str(error) if raises else None})
        else:
            raise SystemExit(f"{name} does not fail")
    text = json.dumps({"now": NOW, "cases": cases, "errors": errors}, ensure_ascii=True, indent=1)
    (HERE / "cases.json").write_text(text + "\n")
    print(len(cases), "cases", len(errors), "errors")


main()
