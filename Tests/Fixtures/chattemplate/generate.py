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
    ("recursive loops", "{% for n in tree recursive %}{{ loop.depth }}{{ loop.depth0 }}{{ n.n }}{% if n.c %}({{ loop(n.c) }}){% endif %}{% if not loop.last %},{% endif %}{% else %}none{% endfor %}", {"tree": [{"n": "a", "c": [{"n": "b", "c": [{"n": "c"}]}, {"n": "d", "c": []}]}, {"n": "e"}]}),
    ("recursive with filter and unpacking", "{% for k, v in d.items() if k != 'x' recursive %}{{ k }}{% if v is mapping %}[{{ loop(v.items()) }}]{% else %}={{ v }}{% endif %};{% endfor %}", {"d": {"a": {"b": 1, "x": 2}, "x": 3, "c": 4}}),
    ("varargs and kwargs", "{% macro m(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, x=4) }}{{ m(1) }}{% macro n(a, b=2, c=a) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ n(*[1, 5]) }}{{ n(**{'a': 7, 'b': 8}) }}{{ n(1, *[2], **{'c': 3}) }}", {}),
    ("default from earlier parameter", "{% macro n(a, b=a ~ 'x') %}{{ a }}-{{ b }}{% endmacro %}{{ n('p') }}{{ n('p', 'q') }}{{ n(b=1, a=2) }}", {}),
    ("caller with arguments and defaults", "{% macro l(xs) %}<{% for x in xs %}{{ caller(x, loop.index) }}{% endfor %}>{% endmacro %}{% call(i, n=9) l(['a', 'b']) %}{{ i }}{{ n }};{% endcall %}{% macro w() %}{{ caller is defined }}{% if caller %}{{ caller() }}{% endif %}{% endmacro %}{{ w() }}{% call w() %}!{% endcall %}", {}),
    ("cycler and joiner", "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.next() }}{% set j = joiner('; ') %}{% for x in [1, 2, 3] %}{{ j() }}{{ x }}{% endfor %}{% set k = joiner() %}{{ k() }}{{ k() }}", {}),
    ("groupby", "{% for g in xs | groupby('k') %}{{ g.grouper }}:{{ g.list | map(attribute='v') | join(',') }};{% endfor %}{% for k, items in xs | groupby('k') %}{{ k }}={{ items | length }} {% endfor %}{% for k, i in xs | groupby('z', default='none') %}{{ k }}{{ i | length }}{% endfor %}{{ (xs | groupby('k')) | length }}", {"xs": [{"k": "b", "v": 1}, {"k": "a", "v": 2}, {"k": "B", "v": 3}, {"k": "a", "v": 4, "z": "zed"}]}),
    ("batch and slice", "{{ [1,2,3,4,5] | batch(2) | list }} {{ [1,2,3] | batch(2, 'x') | list }} {{ [1,2,3,4,5,6,7] | slice(3) | list }} {{ [1,2,3,4] | slice(3, '-') | list }}", {}),
    ("truncate center wordwrap", "{{ 'Hello wide world, this is text' | truncate(12) }}|{{ 'Hello wide world' | truncate(9, true) }}|{{ 'Hello wide world' | truncate(9, true, '!!', 0) }}|{{ 'Hello world' | truncate(9) }}|{{ 'ab' | center(7) }}|{{ 'abc' | center(6) }}|{{ 'one two three four five' | wordwrap(9) }}|{{ 'abcdefghijkl xy' | wordwrap(5) }}|{{ 'abcdefghijkl xy' | wordwrap(5, false) }}|{{ 'a b\nc d e' | wordwrap(3, wrapstring='/') }}", {}),
    ("escape family", "{{ '<a href=\"x\">' | forceescape }} {{ '<p>Hi <b>you</b> &amp; me</p><!-- c -->' | striptags }} {{ 'a b/c?d=é&f' | urlencode }} {{ {'a': 'x y', 'b': 1} | urlencode }} {{ [('k', 'v w')] | urlencode }}", {}),
    ("filesizeformat", "{{ 1 | filesizeformat }} {{ 500 | filesizeformat }} {{ 13000 | filesizeformat }} {{ 4100000 | filesizeformat(true) }} {{ 1500000000 | filesizeformat }}", {}),
    ("sort by several", "{{ xs | sort(attribute='a,b') | map(attribute='n') | join }} {{ xs | sort(attribute='b', reverse=true) | map(attribute='n') | join }} {{ xs | max(attribute='b') }} {{ xs | min(attribute='b') }} {{ xs | unique(attribute='a') | map(attribute='n') | list }} {{ ['b', 'A'] | max }} {{ ['b', 'A', 'C'] | min(case_sensitive=true) }} {{ ['B', 'a', 'b', 'A'] | sort }} {{ ['B', 'a', 'b', 'A'] | sort(true, true) }} {{ {'b': 2, 'A': 1} | sort }}", {"xs": [{"n": 1, "a": "x", "b": 3}, {"n": 2, "a": "w", "b": 2}, {"n": 3, "a": "x", "b": 1}]}),
    ("dictsort forms", "{{ {'b': 1, 'A': 3, 'c': 2} | dictsort }} {{ {'b': 1, 'A': 3, 'c': 2} | dictsort(true) }} {{ {'b': 1, 'A': 3, 'c': 2} | dictsort(false, 'value') }} {{ {'b': 1, 'A': 3} | dictsort(reverse=true) }}", {}),
    ("percent formats", "{{ '%5d|%-5d|%05d|%+d|% d|%x|%X|%o|%#x' % (42, 42, 42, 42, 42, 255, 255, 8, 255) }} {{ '%8.3f|%-8.2f|%08.2f|%e|%g|%G|%.0f' % (3.14159, 2.5, -2.5, 12345.678, 0.00001234, 1e20, 2.5) }} {{ '%10s|%-10s|%.2s|%r|%c|%%' % ('abc', 'abc', 'abc', 'a\\'b', 65) }} {{ '%(a)s-%(b)05d' % {'a': 'x', 'b': 7} }} {{ '%s' % [1, 2] }} {{ '%s %s' % (none, true) }} {{ '%d' % 3.99 }} {{ '%*d' % (5, 42) }} {{ '%(x)s' | format(x=1) }} {{ '%s' % {'a': 1} }}", {}),
    ("brace formats", "{{ '{:>6}|{:<6}|{:^6}|{:*^7}'.format('ab', 'ab', 'ab', 'ab') }} {{ '{:5d}|{:<5d}|{:05d}|{:+d}|{:,}|{:x}|{:b}'.format(42, 42, 42, 42, 1234567, 255, 5) }} {{ '{:.2f}|{:8.3f}|{:e}|{:.1%}|{:g}'.format(3.14159, 2.5, 1234.5, 0.256, 1e-7) }} {{ '{0}{1}{0}'.format('a', 'b') }} {{ '{x[k]} {y[0]} {z!r}'.format(x={'k': 1}, y=[5], z='q') }} {{ '{:.2}'.format('abcdef') }} {{ '{} {} {}'.format(1, 2.0, none) }} {{ '{:6}|{:6}|'.format('a', 5) }} {{ '{:.3}'.format(1.23456) }} {{ '{:,.2f}'.format(1234567.891) }}", {}),
    ("string methods 2", "{{ 'aBc'.swapcase() }} {{ 'Straße'.casefold() }} {{ 'ab'.center(7, '*') }}|{{ 'abc'.center(6) }}|{{ 'a-b-c'.partition('-') }} {{ 'a-b-c'.rpartition('-') }} {{ 'abc'.partition('x') }} {{ 'abc'.rpartition('x') }} {{ 'a\tb'.expandtabs(4) }}| {{ '-7'.zfill(4) }} {{ 'x'.rjust(3, '.') }} {{ 'abcabc'.index('c') }} {{ 'abcabc'.rindex('c') }} {{ 'abcabc'.find('c', 3) }} {{ 'abcabc'.find('c', 0, 2) }} {{ 'abcabc'.count('b', 2) }} {{ 'abcabc'.startswith('c', 2) }} {{ 'abcabc'.endswith('ab', 0, 5) }} {{ 'abcabc'.rfind('a', -3) }}", {}),
    ("string methods 3", "{{ ' a b  c '.split(' ') }} {{ '  a b  c '.split(none, 1) }} {{ '  a b  c '.rsplit(none, 1) }} {{ 'aXXbXXc'.rsplit('XX', 1) }} {{ 'aaa'.split('a') }} {{ 'aaaa'.rsplit('aa', 1) }} {{ ''.split() }} {{ ''.split(',') }} {{ 'a\n\nb\r\n'.splitlines() }} {{ 'a\nb\n'.splitlines(true) }} {{ 'a\u2028b\x0bc'.splitlines() }} {{ ''.splitlines() }} {{ 'abc'.strip('') }} {{ 'xyxabcyx'.strip('xy') }} {{ '\u00a0 a \u3000'.strip() }}| {{ 'a.b.c'.replace('.', '', 1) }} {{ 'abc'.replace('', '-', 2) }} {{ 'aaa'.count('aa') }} {{ 'abc'.count('') }}", {}),
    ("string checks", "{{ '²'.isdigit() }}{{ '²'.isdecimal() }}{{ '½'.isnumeric() }}{{ '½'.isdigit() }} {{ 'aé1'.isalnum() }} {{ 'Ab Cd'.istitle() }} {{ 'Ab cd'.istitle() }} {{ 'abc'.isascii() }} {{ 'é'.isascii() }} {{ ''.isalpha() }} {{ 'A1'.isupper() }} {{ '1'.isupper() }} {{ 'a b'.islower() }} {{ 'ǅ'.isupper() }}", {}),
    ("case of unicode", "{{ 'ΑΣ ΟΔΟΣ Σ' | lower }} {{ 'ŉ' | upper }} {{ 'ﬁ' | capitalize }} {{ 'élan VITAL' | title }} {{ 'İ' | lower | length }} {{ \"o'neil mc-donald (x) [y]\" | title }} {{ \"they're\".title() }} {{ 'ß' | upper }}", {}),
    ("slices 2", "{{ a[::-2] }} {{ a[-1:0:-1] }} {{ a[10:0:-3] }} {{ a[-100:2] }} {{ a[2:-100:-1] }} {{ s[::-2] }} {{ s[-3:] }} {{ s[1:-1] }} {{ s[3:1] }}| {{ a[none:2] }} {{ t[1:] }} {{ t[::-1] }} {{ a[1:none:2] }}", {"a": [0, 1, 2, 3, 4, 5], "s": "añ😀bc"} | {"t": [1, 2]}),
    ("integers", "{{ 0x1F }} {{ 0b101 }} {{ 0o17 }} {{ 1_000_000 }} {{ 0 }} {{ 00 }} {{ -7 // 3 }} {{ -7 % -3 }} {{ 7 % -3 }} {{ 2 ** 62 }} {{ 5 / 1 }} {{ 7.5 // -2 }} {{ -7.5 % 2 }} {{ 7.5 % -2 }} {{ 0.3 % 0.1 }} {{ 1e3 // 7 }} {{ 2.0 ** 0.5 }} {{ 3 * 1.1 }} {{ 1 / 3 }} {{ 10 ** -2 }} {{ true * 3 }} {{ (1, 2) * 2 }} {{ [0] * 0 }} {{ 'x' * -1 }}|", {}),
    ("rounding", "{{ 2.675 | round(2) }} {{ 1.005 | round(2) }} {{ 0.5 | round }} {{ 1.5 | round }} {{ -2.5 | round }} {{ 1234.5 | round(-2) }} {{ 1250 | round(-2) }} {{ 3.14159 | round(3) }} {{ 2.5 | round(0, 'ceil') }} {{ 42 | round(2) }} {{ 1e300 | round(2) }} {{ 0.1 | round(20) }}", {}),
    ("number parsing", "{{ '1_000' | int }} {{ '0x1f' | int(0, 16) }} {{ '1f' | int(base=16) }} {{ '-12' | int }} {{ '+5' | int }} {{ '1e3' | int }} {{ '1e3' | float }} {{ 'inf' | float }} {{ '-1.5e-3' | float }} {{ none | int }} {{ [] | int(9) }} {{ true | int }} {{ '1.9' | int }} {{ '' | int }} {{ ' 3 ' | float }} {{ '0b11' | int(7, 2) }} {{ none | float(2) }} {{ 'nan' | float }}", {}),
    ("float text", "{{ 1e22 }} {{ 1e21 }} {{ 123456789.123456789 }} {{ 1e-5 }} {{ 0.1 }} {{ 5e-324 }} {{ 1.7976931348623157e308 }} {{ 1e16 }} {{ 9999999999999998.0 }} {{ 1e308 * 10 }} {{ -1e308 * 10 }} {{ [1.0, -0.0] }} {{ 1.0 ~ '' }} {{ 3.0 | tojson }} {{ 1e400 }}", {}),
    ("tojson forms", "{{ v | tojson(ensure_ascii=true) }} {{ v | tojson(true) }} {{ v | tojson(indent='\t') }} {{ v | tojson(indent=0) }} {{ v | tojson(false, 1) }} {{ v | tojson(indent=2, separators=(' , ', ' : ')) }} {{ v | tojson(separators=(',', ':'), sort_keys=true) }} {{ {true: 1, none: 2, 1.5: 3, 4: 5} | tojson }} {{ '\x7f\u2028 😀' | tojson }} {{ '\x7f\u2028 😀' | tojson(ensure_ascii=true) }} {{ [[], {}, [{}]] | tojson(indent=2) }} {{ 1e22 | tojson }} {{ 'a/b' | tojson }}", {"v": {"é": ["😀", 1, None], "a": {"k": "v<>&'"}}}),
    ("tests 2", "{{ 1 is sameas 1 }} {{ 0 is sameas false }} {{ none is sameas none }} {{ 1 is sameas true }} {{ 'upper' is filter }} {{ 'nope' is filter }} {{ 'odd' is test }} {{ 'x' is escaped }} {{ [] is iterable }} {{ {} is iterable }} {{ none is iterable }} {{ none is sequence }} {{ 1.0 is integer }} {{ 'a' is sequence }} {{ nope is iterable }} {{ nope is callable }} {{ range is callable }} {{ 3 is divisibleby(3) }} {{ 5 is not divisibleby 3 }} {{ 'a' is in 'abc' }} {{ 1 is in [1] }} {{ 'k' is in {'k': 1} }} {{ 1 is lt 2 }} {{ 1 is lessthan 2 }} {{ 2 is greaterthan 1 }} {{ 1 is ne 2 }} {{ [1] is eq [1] }} {{ none is none and 1 is not none }} {{ true is true }} {{ 1 is true }} {{ false is false }} {{ 'x' is boolean }} {{ 'ABC' is upper }} {{ nope is mapping }}", {}),
    ("operator tests in select", "{{ [1, 2, 3] | select('>', 1) | list }} {{ [1, 2, 3] | select('==', 2) | list }} {{ [1, 2, 3] | reject('!=', 2) | list }} {{ [1, 2, 3] | select('<=', 2) | list }} {{ [3, 4] | select('divisibleby', 2) | list }} {{ ['a', none, ''] | select('string') | list }} {{ [1, none, nope] | select('defined') | list }} {{ none | select | list }} {{ '' | map('upper') | list }} {{ [[1, 2], [3]] | map('length') | list }} {{ ['a b', 'c'] | map('replace', ' ', '_') | list }} {{ [1.26] | map('round', 1) | list }} {{ ['x'] | map('default', 'y') | list }} {{ [{'a': {'b': 1}}, {'a': {}}] | map(attribute='a.b', default=0) | list }} {{ [[1, 2], [3, 4]] | map(attribute=1) | list }} {{ [[1, 2], [3, 4]] | map(attribute='0') | list }} {{ [{'a': 1}, {}] | selectattr('a', 'undefined') | list }} {{ [{'a': 1}, {'a': 0}] | rejectattr('a') | list }}", {}),
    ("undefined", "{{ nope }}|{{ nope | default('d') }}|{{ nope is defined }}|{{ nope ~ 'x' }}|{{ nope or 'o' }}|{{ not nope }}|{{ nope == nope2 }}|{{ nope == none }}|{{ 'a' in nope }}|{{ nope | length }}|{{ nope | upper }}|{{ nope | list }}|{{ nope | join }}|{{ d.nope }}|{{ d['nope'] }}|{{ d.get('nope') }}|{{ [1][5] }}|{{ 'abc'[9] }}|{{ nope if false }}|{% for x in nope %}x{% else %}e{% endfor %}|{% if nope %}t{% else %}f{% endif %}|{{ [nope] }}|{{ nope | string | length }}|{{ (nope, 1) | first is undefined }}|{{ nope | items | list }}|{{ nope | trim }}|{{ d.x.y is defined }}|{{ nope | reverse | list }}|{{ nope is string }}", {"d": {"x": 1}}),
    ("chains of conditions", "{{ 1 if a else 2 if b else 3 }} {{ (1 if a) or 5 }} {{ a and b or 'c' }} {{ not a and not b }} {{ not (a or b) == true }} {{ 1 < 2 == true }} {{ 1 in [1] in [[1]] }} {{ 2 > 1 > 0 != 5 }} {{ 'x' not in 'abc' and 'a' in 'abc' }} {{ -1 if b else -2 }} {{ a is none or a.b }} {{ (a or {}).b is undefined }}", {"a": None, "b": 1}),
    ("whitespace 2", "\n{%- if true -%}\n  a  \n{%- endif %}\n\n  {%- set x = 1 -%}  \n b\n{%+ if true %}\n c {% endif %}\n{#- x -#}\n d {##} e\n\t{% if true %}f{% endif %}\t\n{{- 1 -}}\n g\n {{ 2 }}\n\n", {}),
    ("whitespace 3", "  {% for i in [1, 2] %}\n  - {{ i }}\n  {% endfor %}\n{% for i in [1] -%}\n  x\n{%- endfor %}\n  {# note #}\n  y\n{% set z %}\n  q\n{% endset %}\n[{{ z }}]\n{%- raw %}\n {{ r }} {%- endraw %}\nend", {}),
    ("raw forms", "{% raw -%}\n  {{ x }}\n{%- endraw %}\n|{%- raw %} {% if %} {# c #} {% endraw -%} \n|", {}),
    ("set and scope 2", "{% set x %}a{% endset %}{% for i in [1, 2] %}{% set x = i %}{% endfor %}{{ x }}{% if true %}{% set y = 2 %}{% endif %}{{ y }}{% with %}{% set x = 3 %}{{ x }}{% endwith %}{{ x }}{% set ns = namespace({'a': 1}, b=2) %}{% set ns.c = ns.a + ns.b %}{{ ns.c }}{{ ns.zz is defined }}{% macro m() %}{{ x }}{% set x = 9 %}{{ x }}{% endmacro %}{{ m() }}{{ x }}{% set (p, q), r = (1, 2), 3 %}{{ p }}{{ q }}{{ r }}{% set ns.d %}blk{% endset %}{{ ns.d }}{% for k in 'ab' %}{% set ns.a = ns.a ~ k %}{% endfor %}{{ ns.a }}", {}),
    ("loop values", "{% for x in [1, 2, 3] %}{% if loop.first %}[{% endif %}{{ loop.cycle('a', 'b') }}{{ x }}{{ loop.previtem | default('-') }}{{ loop.nextitem | default('+') }}{{ loop.changed(x // 2) }}{% if loop.last %}]{% endif %}{% endfor %}{% for a in [1, 2] %}{% set outer = loop %}{% for b in [3] %}{{ outer.index }}{{ loop.index }}{% endfor %}{% endfor %}{% for i in range(5) if i is odd %}{{ loop.index0 }}{{ i }}{{ loop.revindex }}{% endfor %}{% for x in [] recursive %}{% else %}empty{% endfor %}{% for x in [1,2,3,4] %}{% if x == 3 %}{% break %}{% endif %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% else %}no{% endfor %}", {}),
    ("items of strings and dicts", "{% for c in 'añ' %}{{ c }}{{ loop.index }}{% endfor %}{% for k in {'a': 1, 'b': 2} %}{{ k }}{% endfor %}{% for k, v in {'a': [1]}.items() %}{{ k }}{{ v }}{% endfor %}{% for a, b in [(1, 2), [3, 4], 'xy'] %}{{ a }}{{ b }}{% endfor %}{{ {'a': 1}.keys() | list }}{{ {'a': 1}.values() | list }}{{ {'a': {'b': 1}} | items | list }}", {}),
    ("keys", "{{ {1: 'a', true: 'b', 1.0: 'c'} }} {{ {1: 'a'}[1.0] }} {{ 1 in {1.0: 2} }} {{ {(1, 2): 'x'}[(1, 2)] }} {{ {'a': 1} == {'a': 1.0} }} {{ dict(a=1, **{'b': 2}) }} {{ {none: 1}[none] }} {{ {'a': 1, 'a': 2} }}", {}),
    ("string escapes", "{{ 'a\\tb\\nc\\\\d\\x41\\u00e9\\U0001F600\\101\\0' | tojson }} {{ \"it's\" }} {{ 'say \"x\"' }} {{ 'a\\q' }} {{ ['\\x00\\x7f\\xa0\\u200e\\ud7ff', 'é', '\\'\"'] }}", {}),
    ("filters on results", "{{ ('a' ~ 'b') | upper }} {{ 'a' ~ 'b' | upper }} {{ -1 | abs }} {{ (-1) | abs }} {{ 1 + 2 | string ~ 'x' if false else 'ok' }} {{ [3, 1] | sort | first }} {{ 'x,y'.split(',') | last | upper }} {{ 'abc' | first }} {{ 'abc' | last }} {{ {'a': 1} | first }} {{ {'a': 1} | list }} {{ 'cab' | sort | join }} {{ 'a' | string is string }} {{ 5 | string | length }} {{ [1, [2, [3]]] | string }} {{ 'a-b' | replace('-', '') | upper | lower }} {{ none | string }} {{ true | lower }} {{ 3.5 | string | length }} {{ [1, 2] | sum(start=10) }} {{ [[1], [2]] | sum(start=[]) }} {{ 'abc' | reverse }} {{ (1, 2, 3) | reverse | list }} {{ [1, 2] | join(none) if false else '' }} {{ 'a\nb' | indent(width=2, first=true) }} {{ 'x' | attr('upper') is defined }} {{ {'a': 1} | attr('a') is defined }}", {}),
    ("filter and set blocks", "{% filter trim | upper | replace('A', 'b') %}  a x {{ 'y' }} {% endfilter %}|{% set x | trim | length %}  four  {% endset %}{{ x }}|{% filter indent(2) %}l1\nl2{% endfilter %}|{% set y %}{% for i in range(3) %}{{ i }}{% endfor %}{% endset %}{{ y * 2 }}{{ y is string }}", {}),
    ("dates 2", "{{ strftime_now('%d %B %Y, %-d/%-m, %H:%M:%S.%f %U %w %u %C %D %R %n%t %G-%V %s') }}", {}),
    ("joins", "{{ [1, none, 'a', 2.5, true] | join('|') }} {{ 'abc' | join('-') }} {{ {'a': 1, 'b': 2} | join(',') }} {{ [] | join(',') }}| {{ [{'n': 'x'}, {'n': 'y'}] | join(', ', attribute='n') }} {{ '-'.join('abc') }} {{ ', '.join(['a']) }}", {}),
    ("python printing", "{{ [none, true, 1.5, 'a\\'b', \"q\\\"\", 'both\\'\\\"'] }} {{ {'k': (1,), 'l': []} }} {{ ('a',) }} {{ {'a': {'b': [1, {'c': none}]}} }} {{ '' ~ {'a': 'é\\n'} }} {{ [[]] }} {{ [''] }}", {}),
    ("deep attributes", "{{ m[0]['a'].b[1].c }} {{ m[0].a['b'][0] }} {{ m[-1]['a']['b'] | length }} {{ m.0.a.b.1.c }} {{ (m | first).a.b[0] }} {{ m[0].a.get('zz', {}).get('y', 'dflt') }} {{ m[0]['a']['b'][1:][0].c }} {{ m[0].a.b[0] is string }}", {"m": [{"a": {"b": ["s", {"c": 7}]}}]}),
    ("tuples", "{{ 1, 2 }} {{ (1, 2)[0] }} {{ (1, 2) + (3,) }} {{ () | length }} {% set a, b = 'xy' %}{{ a }}{{ b }} {{ (1, 'a') == (1, 'a') }} {{ (1, 2) < (1, 3) }} {{ [1, 2] < [1, 2, 0] }} {{ (1, [2]) }} {% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}", {}),
    ("if forms", "{% if a == 1 %}1{% elif a == 2 %}2{% elif a is none %}n{% else %}e{% endif %}{% if a is none and b %}x{% endif %}{% if not b %}{% else %}y{% endif %}{% if '' or [] or {} or 0 or 0.0 or none %}{% elif 'x' %}z{% endif %}{% if (1, 2) == (1, 2) %}t{% endif %}", {"a": None, "b": True}),
    ("generation tag", "{% for m in ms %}{% if m.r == 'a' %}{% generation %}\n{{ m.c }}{% endgeneration %}\n{% else %}{{ m.c }}{% endif %}{% endfor %}", {"ms": [{"r": "u", "c": "q"}, {"r": "a", "c": "ans"}]}),
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
    ("string times float", "{{ 'a' * 1.5 }}", {}, False), ("none plus string", "{{ none + 'a' }}", {}, False), ("string plus none", "{{ 'a' + none }}", {}, False),
    ("list plus string", "{{ [1] + 'a' }}", {}, False), ("none length", "{{ none | length }}", {}, False), ("number iteration", "{{ 5 | list }}", {}, False),
    ("tojson of undefined", "{{ nope | tojson }}", {}, False), ("item of undefined", "{{ nope['x'] }}", {}, False), ("method of undefined", "{{ d.nope.strip() }}", {"d": {}}, False),
    ("string method missing", "{{ 'a'.nope() }}", {}, False), ("index not found", "{{ 'abc'.index('x') }}", {}, False), ("empty separator", "{{ 'abc'.split('') }}", {}, False),
    ("none compare", "{{ none < 1 }}", {}, False), ("in number", "{{ 1 in 5 }}", {}, False), ("number in string", "{{ 1 in 'abc' }}", {}, False), ("modulo zero", "{{ 5 % 0 }}", {}, False),
    ("float zero", "{{ 1.0 / 0 }}", {}, False), ("too many format values", "{{ 'a' % (1,) }}", {}, False), ("few format values", "{{ '%s %s' % (1,) }}", {}, False), ("format letter", "{{ '%d' % 'a' }}", {}, False),
    ("brace index", "{{ '{1}'.format(1) }}", {}, False), ("brace name", "{{ '{a}'.format(1) }}", {}, False), ("macro too many", "{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", {}, False),
    ("macro unknown name", "{% macro m(a) %}{% endmacro %}{{ m(b=2) }}", {}, False), ("set of attribute", "{% set d.x = 1 %}", {"d": {}}, False), ("dunder", "{{ ''.__class__.__mro__ }}", {}, False),
    ("dict update", "{{ {}.update({'a': 1}) }}", {}, False), ("list pop", "{{ [1].pop() }}", {}, False), ("unhashable", "{{ {[1]: 2} }}", {}, False), ("range step", "{{ range(1, 2, 0) | list }}", {}, False),
    ("big range", "{{ range(1000000) | list }}", {}, False), ("loop outside recursion", "{% for x in [1] %}{{ loop([2]) }}{% endfor %}", {}, False), ("unpack many", "{% for a, b in [(1, 2, 3)] %}{% endfor %}", {}, False),
    ("unpack number", "{% for a, b in [1] %}{% endfor %}", {}, False), ("sort mixed", "{{ [1, 'a'] | sort }}", {}, False), ("sum of strings", "{{ ['a'] | sum }}", {}, False), ("int of undefined", "{{ nope | int }}", {}, False),
    ("undefined compare", "{{ nope < 1 }}", {}, False), ("undefined arithmetic", "{{ nope * 2 }}", {}, False), ("negative undefined", "{{ -nope }}", {}, False), ("attribute of none method", "{{ none.strip() }}", {}, False),
    ("join numbers by method", "{{ ','.join([1]) }}", {}, False), ("call string", "{{ 'a'() }}", {}, False), ("items of list", "{{ [1] | items | list }}", {}, False), ("dictsort of list", "{{ [1] | dictsort }}", {}, False),
    ("round of text", "{{ 'a' | round }}", {}, False), ("abs of text", "{{ 'a' | abs }}", {}, False),
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


if __name__ == "__main__":
    main()
