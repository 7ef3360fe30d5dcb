#!/usr/bin/env python3
"""Writes the sets that `fathom bench retrieval` measures search with: documents, questions, and which document answers.

    python3 Benchmarks/retrieval/generate.py --seed 1 --out retrieval-set.json

Every kind is drawn from tables by a seeded generator, except for the English prose, which is in prose.tsv: a fact, a question that
says it in other words, and key words. Another seed gives other codes, numbers, names and combinations, so that a setting chosen with
one seed can be checked with another.
"""

import argparse
import json
import random
from pathlib import Path

TOPICS = ["pump", "valve", "gearbox", "conveyor", "compressor", "boiler", "turbine", "heat exchanger", "mixer", "crane"]
FAULTS = ["leaks at the seal", "runs too hot", "stops without a message", "vibrates at half load", "loses pressure over night", "is louder than allowed"]
PLACES = ["in hall 2", "on the upper floor", "behind the boiler house", "at the loading ramp", "in the basement", "next to the paint shop"]
FIRST = "Anneliese Björn Chiara Dimitri Eszter Fatima Gustav Hyejin Ivana Jürgen Katarzyna Lars Mbali Nikolai Oyelaran Przemek Quentin Rosalía Søren Tomoko".split()
LAST = "Achterberg Bhattacharya Castellanos Dąbrowski Eriksson Ferreira Grünwald Haugland Iwanow Jankowski Kowalczyk Lindqvist Mukherjee Nakamura Oyelowo Papadakis Rasmussen Szymański Thorvaldsen Vasquez Wójcik Yıldız Zschäpe Huber Maier".split()
DUTIES = ["travel requests", "the cleaning contract", "access badges", "fire safety", "the apprentices", "data protection", "the canteen", "works meetings", "spare parts", "company cars"]
ZH_UNITS = "市场部 研发部 财务部 法务部 人事部 采购部 客服部 物流部 行政部 安全部 质检部 工程部".split()
ZH_TOPICS = "差旅住宿 交通补贴 通讯费用 加班餐费 培训经费 办公用品 健康体检 节日福利 高温津贴 夜班补助 手机补贴 团队活动".split()
ZH_SINGLE = [
    ("员工出差乘坐高铁应选择二等座，特殊情况需经理批准。", "出差坐高铁可以坐什么座位"), ("试用期为三个月，表现优秀者可以提前转正。", "试用期有多长"),
    ("年假须在次年三月底之前休完，过期作废。", "没休完的年假什么时候过期"), ("机房门禁卡丢失后应立即通知值班人员。", "门禁卡丢了怎么办"),
    ("报销发票需在三十天内提交给财务部门。", "发票多久之内要交"), ("仓库每周五下午盘点，期间停止发货。", "仓库什么时候盘点"),
    ("食堂早上七点开始供应早餐。", "早餐几点开始"), ("新员工入职第一天领取电脑和工卡。", "工卡在哪天领"), ("会议室需要提前一天在系统里预订。", "怎么预订会议室"),
    ("客户投诉应在两个工作日内答复。", "投诉要在几天内答复"), ("服务器密码每九十天更换一次。", "密码多久换一次"), ("电梯检修期间请走东侧楼梯。", "电梯检修走哪边"),
    ("公司车辆由行政科统一调度。", "用车找谁安排"), ("保密协议在离职后两年内仍然有效。", "离职之后保密协议有效多久"), ("夜间施工必须有两名安全员在场。", "晚上施工需要几名安全员"),
]
JA_SINGLE = [
    ("出張の宿泊費は一泊一万円までとします。", "宿泊費の上限はいくらですか"), ("有給休暇は年に二十日あります。", "有給休暇は何日ありますか"),
    ("パスワードは九十日ごとに変更してください。", "ﾊﾟｽﾜｰﾄﾞの変更"), ("会議室は前日までに予約が必要です。", "会議室の予約はいつまで"), ("制服は毎年四月に支給されます。", "制服はいつもらえますか"),
    ("社員食堂は午前十一時半に開きます。", "食堂は何時に開く"), ("防災訓練は九月一日に行います。", "防災訓練の日"), ("駐車場の利用には申請書が必要です。", "駐車場を使うには"),
    ("経費の精算は月末に締め切ります。", "経費精算の締め切り"), ("在宅勤務は週に二日まで認められます。", "在宅勤務は週何日"), ("健康診断は毎年六月に実施します。", "健康診断は何月"),
    ("研修の申し込みは人事部で受け付けます。", "研修はどこに申し込む"),
]
KO_SINGLE = [
    ("연차 휴가는 일 년에 십오 일입니다.", "연차 휴가가 며칠인가요"), ("출장 숙박비는 하루 십만 원까지 지급합니다.", "숙박비 한도"), ("회의실은 하루 전에 예약해야 합니다.", "회의실 예약은 언제까지"),
    ("비밀번호는 구십 일마다 바꿔야 합니다.", "비밀번호 변경 주기"), ("식당은 오전 열한 시에 문을 엽니다.", "식당이 몇 시에 열어요"), ("주차장은 건물 뒤에 있습니다.", "주차장이 어디에 있나요"),
    ("신입 사원은 첫날 사원증을 받습니다.", "사원증을 언제 받나요"), ("재택근무는 주 이틀까지 허용됩니다.", "재택근무를 며칠 할 수 있나요"),
]
FOLDED = [
    ("Die Straßenreinigung kommt jeden zweiten Dienstag.", "STRASSENREINIGUNG"), ("Die Prüfung der Löschanlage ist im März.", "pruefung loeschanlage märz"), ("Le café de l’étage est fermé le vendredi.", "cafe etage"),
    ("İstanbul ofisi pazartesi günleri kapalıdır.", "istanbul ofisi"), ("ISPARTA deposu yeni açıldı.", "ısparta deposu"), ("El señor Núñez guarda las llaves del almacén.", "senor nunez almacen"),
    ("Die Oﬃce-Lizenzen laufen im Herbst ab.", "office lizenzen"), ("Ｒｏｏｍ　４２０１ is kept locked.", "room 4201"), ("Die Rechnung ging an Müller & Söhne.", "MULLER SOHNE"), ("Το γραφείο ανοίγει στις εννέα.", "ΓΡΑΦΕΙΟ"),
    ("Ещё один ключ лежит у охраны.", "еще один ключ охраны"), ("Řízení skladu převzala paní Dvořáková.", "dvorakova rizeni skladu"), ("Kontoret i Ålesund har ny adresse.", "alesund kontoret"), ("Klucz do magazynu w Łodzi ma portier.", "lodzi magazynu"),
]


def codes(chance):
    """Reports that differ in their number: asked by code alone, in a sentence, in lower case and without the sign."""
    prefix = chance.choice(["PPR", "QX", "TKT", "MR"])
    start = chance.randrange(1000, 8000)
    documents, queries = [], []
    for number in range(start, start + 150):
        documents.append(f"Report {prefix}-{number}: the {chance.choice(TOPICS)} {chance.choice(PLACES)} {chance.choice(FAULTS)}.")
    for place in chance.sample(range(150), 30):
        code = f"{prefix}-{start + place}"
        form = chance.choice(["{c}", "What does report {c} say?", "{c} summary please", "is {c} closed or still open?"])
        queries.append((form.format(c=chance.choice([code, code.lower(), code.replace('-', ' '), code.replace('-', '')])), place))
    return documents, queries


def codes_in_prose(chance):
    """A code in a question whose other words are nearer to another document."""
    documents, queries = [], []
    rows = [(f"{chance.choice('ABCDEFG')}{chance.choice('HJKLMN')}-{chance.randrange(100, 999)}-{chance.choice('XYZ')}", chance.choice(TOPICS), chance.choice(FAULTS), chance.choice(PLACES)) for _ in range(80)]
    for code, topic, fault, place in rows:
        documents.append(f"{code} is installed {place}; last inspected without findings.")
        documents.append(f"When a {topic} {fault}, call the technician on duty.")
    for index in chance.sample(range(80), 30):
        code = rows[index][0]
        queries.append((chance.choice(["Where do I find {c}, which {f}?", "Who inspected {c} when the {t} {f}?", "The {t} with label {c} {f}, what do we know about it?"]).format(c=code, t=chance.choice(TOPICS), f=chance.choice(FAULTS)), 2 * index))
    return documents, queries


def numbers(chance):
    """Invoices, addresses, versions and rooms that differ in digits."""
    documents, queries = [], []
    for _ in range(40):
        number, amount = chance.randrange(20000, 99999), f"{chance.randrange(100, 9999)}.{chance.randrange(10, 99)}"
        queries.append((chance.choice([f"invoice {number}", f"How much was invoice {number}?", f"{amount} euros paid for what?"]), len(documents)))
        documents.append(f"Invoice {number} over {amount} euros was paid in {chance.choice(['March', 'April', 'May'])}.")
    for _ in range(30):
        address = f"10.{chance.randrange(0, 9)}.{chance.randrange(0, 40)}.{chance.randrange(1, 250)}"
        queries.append((chance.choice([address, f"which machine has {address}"]), len(documents)))
        documents.append(f"Host {address} is the {chance.choice(['printer', 'scanner', 'camera', 'terminal'])} {chance.choice(PLACES)}.")
    for _ in range(30):
        version = f"{chance.randrange(1, 9)}.{chance.randrange(0, 20)}.{chance.randrange(0, 20)}"
        queries.append((chance.choice([f"v{version}", version, f"what changed in version {version}?"]), len(documents)))
        documents.append(f"Release v{version} repairs the {chance.choice(['login', 'export', 'printing', 'search', 'backup'])}.")
    seen = {}
    for index, text in enumerate(documents):
        seen.setdefault(text.split(" is ")[0].split(" repairs ")[0], index)
    return documents, chance.sample([(q, seen.get(documents[i].split(" is ")[0].split(" repairs ")[0], i)) for q, i in queries], 40)


def names(chance):
    """People and what they look after; asked by surname, by full name, and in a sentence, partly without accents."""
    people = chance.sample([(a, b) for a in FIRST for b in LAST], 60)
    documents = [f"{a} {b} looks after {chance.choice(DUTIES)} and sits {chance.choice(PLACES)}." for a, b in people]
    plain = str.maketrans("öüäøłńąóıźí", "ouaolnaoizi")
    queries = []
    for index in chance.sample(range(60), 30):
        a, b = people[index]
        text = chance.choice([f"{a} {b}", f"What does {a} {b} do?", f"Where does {b}, {a} sit?"])
        queries.append((text.translate(plain) if chance.random() < 0.3 else text, index))
    return documents, queries


def chinese(chance):
    """Rules that differ in two words, and single rules asked in other words."""
    pairs = [(u, t) for u in ZH_UNITS for t in ZH_TOPICS]
    documents = [f"{u}员工的{t}标准为每月{chance.randrange(100, 999)}元，由{u}负责人审批后执行，自公布之日起生效。" for u, t in pairs]
    queries = [(chance.choice([f"{u}的{t}是多少钱？", f"{t} {u}", f"我在{u}工作，{t}怎么算"]), i) for i, (u, t) in chance.sample(list(enumerate(pairs)), 25)]
    for text, question in ZH_SINGLE:
        queries.append((question, len(documents)))
        documents.append(text)
    return documents, queries


def singles(rows):
    return [text for text, _ in rows], [(question, i) for i, (_, question) in enumerate(rows)]


def prose(chance, form):
    rows = [line.split("\t") for line in (Path(__file__).parent / "prose.tsv").read_text("utf-8").splitlines() if line and not line.startswith("#")]
    chance.shuffle(rows)
    return [row[0] for row in rows], [(row[form], i) for i, row in enumerate(rows)]


def unrelated(chance):
    """Questions that no document of the prose answers: what the best score of a miss is."""
    return prose(chance, 1)[0], [(q, -1) for q in ("how far is the moon from the earth", "recipe for pancakes with blueberries", "who won the world cup in 1954", "quantum chromodynamics lattice", "best hiking trails in the Dolomites", "symptoms of the measles in toddlers", "lyrics of a lullaby", "how do black holes evaporate", "chess opening for beginners", "XKZ-55120", "今天天气怎么样", "how to knit a scarf")]


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--out", required=True)
    arguments = options.parse_args()
    chance = random.Random(arguments.seed)
    kinds = {
        "codes": codes(chance), "codes in prose": codes_in_prose(chance), "numbers": numbers(chance), "names": names(chance), "Chinese": chinese(chance), "Japanese": singles(JA_SINGLE),
        "Korean": singles(KO_SINGLE), "folded": singles(FOLDED), "prose, other words": prose(chance, 1), "prose, key words": prose(chance, 2), "unrelated": unrelated(chance),
    }
    sets = [{"kind": kind, "documents": documents, "queries": [{"text": text, "relevant": place} for text, place in queries]} for kind, (documents, queries) in kinds.items()]
    Path(arguments.out).write_text(json.dumps(sets, ensure_ascii=False, indent=1), "utf-8")


if __name__ == "__main__":
    main()
