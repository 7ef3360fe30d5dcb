"""Makes the fixtures of this folder with the tokenizers library.

Run:  python3 generate.py model.gguf minilm-tokenizer.json   (needs gguf and tokenizers)
The *-reference.json files come from the fp32 reference runs and are not made here.
"""
import json, pathlib, random, sys, unicodedata
from gguf import GGUFReader
from tokenizers import Tokenizer, AddedToken, pre_tokenizers, decoders, Regex
from tokenizers.models import BPE
OUT=str(pathlib.Path(__file__).parent)+'/'
r=GGUFReader(sys.argv[1])
toks=r.fields['tokenizer.ggml.tokens'].contents(); merges=[tuple(m.split(' ')) for m in r.fields['tokenizer.ggml.merges'].contents()]
types=r.fields['tokenizer.ggml.token_type'].contents()
vocab={t:i for i,t in enumerate(toks)}
pres={
 'smollm': pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False,use_regex=True)]),
 'gpt-2': pre_tokenizers.ByteLevel(add_prefix_space=False,use_regex=True),
 'llama-bpe': pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"),'isolated'), pre_tokenizers.ByteLevel(add_prefix_space=False,use_regex=False)]),
 'qwen2': pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"),'isolated'), pre_tokenizers.ByteLevel(add_prefix_space=False,use_regex=False)]),
}
def make(pre):
    t=Tokenizer(BPE(vocab=vocab,merges=merges,ignore_merges=(pre=='llama-bpe')))
    t.pre_tokenizer=pres[pre]; t.decoder=decoders.ByteLevel()
    t.add_special_tokens([AddedToken(toks[i],special=True,normalized=False) for i in range(len(toks)) if types[i]==3])
    return t
rng=random.Random(20260811)
texts=[]
base=[
 "", " ", "  ", "\n", "\n\n", " \n", "\n ", "a", " a", "a ", "  a", "a  b   c    d", "\t\ttab\tsep", "\r\n\r\nwin\r\n", "a\n\n\nb", "trail   ", "x \n y \n\n z", " \u00a0 nbsp\u00a0x", "\u3000全角\u3000空白",
 "I'm you're he's they've we'll she'd don't I'M YOU'RE HE'S WE'LL 'S 'sudo 'tis o'clock ''s 'ſ x'ſ",
 "1 12 123 1234 12345678 3.14159 1e-10 0x1F 1,234,567.89 ١٢٣ १२३ ½¾ ②Ⅳ x² 第3章",
 "def f(x):\n    return x ** 2  # square\n\n\nclass A:\n\tpass\n", "for (int i = 0; i < n; ++i) { a[i] += b[i]->c; } // done\n", "let x = \"a\\\"b\"; fn main() -> Result<(), Box<dyn Error>> {}",
 "{\"key\": [1, 2.5, null, true], \"nested\": {\"a\": \"\\u00e9\"}}", "SELECT * FROM t WHERE a='b' AND c<>3;",
 "Grüße aus München! Ça va? ¿Qué tal? Żółć. Đặng. naïve café résumé", "Привет, мир! Как дела?", "你好，世界！今天天气怎么样？", "日本語のテキストです。カタカナ", "안녕하세요 세계", "مرحبا بالعالم", "שלום עולם", "नमस्ते दुनिया", "ภาษาไทย", "Γειά σου Κόσμε", "ქართული", "አማርኛ",
 "😀😃🚀 👨‍👩‍👧‍👦 🏳️‍🌈 🇩🇪🇫🇷 ❤️ ☺", "e\u0301 vs é, Z̪͑ͫ̓̂ͫa̴̲l̸͓ǵo̢", "\u200b\u200d\ufeff zero\u00adwidth", "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", "a<|endoftext|>b<|endoftext|>", "<|im_start|", "<|im_<|im_end|>", "<filename>x<file_sep>", "<<|im_end|>>", "𝕳𝖊𝖑𝖑𝖔 𝟙𝟚𝟛 𐍈", "==========----------__________##########",
 "a"*300, "ab"*200, " "*257, "\n"*65, "xyz 0"*50, "hello"*40, "?!"*100, "The quick brown fox jumps over the lazy dog. "*8, "https://example.com/a?b=c&d=%20#frag user@example.org C:\\path\\file.txt",
]
texts+=base
ranges=[(0x20,0x7e),(0x20,0x7e),(0xa1,0x24f),(0x370,0x52f),(0x5d0,0x6ff),(0x900,0xdff),(0xe01,0xe5b),(0x1100,0x11ff),(0x1e00,0x1fff),(0x2000,0x206f),(0x2070,0x27bf),(0x3000,0x30ff),(0x4e00,0x9fff),(0xac00,0xd7a3),(0xf900,0xfaff),(0xfb00,0xfdff),(0xff01,0xffee),(0x1d400,0x1d7ff),(0x1f300,0x1f6ff),(0x20000,0x203ff)]
def assigned(c): return unicodedata.category(chr(c)) not in ('Cn','Cs','Co')
def rnd(n):
    out=[]
    while len(out)<n:
        k=rng.random()
        if k<.25: out.append(rng.choice([' ','  ','\n','\t','\r\n',' \n ','\u00a0','\u2003',"'s","'LL",'1','23','.','!?','—','<|im_end|>']))
        else:
            lo,hi=rng.choice(ranges)
            run=rng.randint(1,6)
            for _ in range(run):
                c=rng.randint(lo,hi)
                if assigned(c): out.append(chr(c))
    return ''.join(out)
for i in range(120): texts.append(rnd(rng.randint(1,80)))
ascii_pool="abcdefghij ABC 0123456789 \n\t'.,;:!?()[]{}<>/\\|@#$%^&*-_=+~`\"st re ve"
for i in range(60): texts.append(''.join(rng.choice(ascii_pool) for _ in range(rng.randint(1,60))))
for i in range(12): texts.append(''.join(rng.choice('abcdefghijklmnopqrstuvwxyzeeeaaitonsr') for _ in range(rng.randint(49,400))))
for i in range(6): texts.append(''.join(rng.choice('中文字符測試的是不了人我在有他这为之') for _ in range(rng.randint(20,150))))
for pre in pres:
    t=make(pre)
    use=texts if pre=='smollm' else texts
    cases=[{'text':x,'ids':t.encode(x,add_special_tokens=False).ids} for x in use]
    if pre!='smollm':
        for c in cases: pass
    with open(OUT+f'bpe-{pre}.json','w') as f:
        json.dump({'about':f'SmolLM2 vocabulary and merges with the {pre} pre-tokeniser, by the tokenizers library; special tokens parsed','pre':pre,'cases':cases},f,ensure_ascii=True,separators=(',',':')); f.write('\n')
# WordPiece
w=Tokenizer.from_file(sys.argv[2]); w.no_truncation(); w.no_padding()
cases=[{'text':x,'ids':w.encode(x,add_special_tokens=False).ids} for x in texts]
extra=["İstanbul ıI ß ẞ ﬁ Ǆ ΣΊΣΥΦΟΣ","가각힣 한국어","\u0000nul\u0007bell\ufffdx","x"*100,"x"*101,"é"*100,"a$b^c`d~e|f+g=h<i>j","[CLS] hello [SEP] [MASK] [PAD] [UNK] [cls]","\ue123\U0001ffff\U000e0001tag","ཀྵ ཱི གྷ","が ガ ぱ パ","Å Ω K","\u2028\u2029\u0085x","\u00adsoft","don’t “quote” — …","a\x0bb\x0cc\x1cd\u0085e\u1680f","\uffff x \U0001ffff y\u0378z"]
cases+=[{'text':x,'ids':w.encode(x,add_special_tokens=False).ids} for x in extra]
json.dump({'about':'all-MiniLM-L6-v2 tokenizer.json by the tokenizers library, no truncation, no added special tokens, special tokens parsed','cases':cases},open(OUT+'wordpiece-minilm.json','w'),separators=(',',':'))
