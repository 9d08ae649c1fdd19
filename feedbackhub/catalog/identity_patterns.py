"""How models say who they are: their names, their makers, and the sentences in which they say it.

A name alone reveals nothing: an answer may well be about ChatGPT. It reveals where the first person says it. What these
patterns are to find and to pass over stands in tests/catalog/test_identity_leaks.py; extend both together.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """Names that tell the same. All are regular expressions without groups.

    names: of models, in any case; no other word is written so.
    words: of models too, but also people's, animals' or stars': only capitalised, and never before a surname.
    makers: companies known for their models only, in any case. houses: those known for much else, as they are written.
    """

    names: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    makers: tuple[str, ...] = ()
    houses: tuple[str, ...] = ()


FAMILIES = (
    Family(
        names=(r"chat-?gpt(?:[ -]?[\d.]+)?", r"gpt-?\d[\w.-]*", r"instructgpt", r"text-davinci-\d+"), makers=("openai",)
    ),
    Family(
        names=(
            r"claude[ -]?(?:v?\d[\w.]*|sonnet|opus|haiku|instant)(?:[ -](?:sonnet|opus|haiku|instant|v?\d[\w.]*))*",
        ),
        words=("Claude",),
        makers=("anthropic",),
    ),
    Family(
        names=(r"gemini[ -]?(?:\d[\w.]*|pro|ultra|flash|nano)", r"gemma[ -]?\d[\w.-]*", r"palm[ -]?2", r"lamda"),
        words=("Gemini", "Bard", "Gemma", "LaMDA", "PaLM"),
        makers=(r"google deepmind", r"deepmind", r"google ai"),
        houses=("Google", "Alphabet"),
    ),
    Family(
        names=(r"llama[ -]?\d[\w.-]*", r"code ?llama"),
        words=("Llama", "LLaMA"),
        makers=(r"meta ai",),
        houses=("Meta", "Facebook"),
    ),
    Family(
        names=(r"mi[sx]tral[ -]?(?:\d[\w.-]*|small|medium|large|nemo)", "mixtral"),
        words=("Mistral", "Ministral"),
        makers=(r"mistral ai", "mistralai"),
    ),
    Family(
        names=(r"qwen[\w.-]*", r"tongyi qianwen", "通义千问", "千问"),
        makers=(r"alibaba cloud", "阿里云", "阿里巴巴"),
        houses=(r"Alibaba(?: Group)?",),
    ),
    Family(names=(r"deepseek(?:[ -][\w.]+)?", "深度求索"), makers=("deepseek", "深度求索")),
    Family(names=(r"grok[ -]?\d[\w.-]*",), words=("Grok",), makers=(r"xai", r"x\.ai")),
    Family(
        names=(r"phi-\d[\w.-]*", r"bing chat", r"(?:microsoft|github) copilot"),
        words=("Copilot", "Sydney"),
        houses=("Microsoft",),
    ),
    Family(names=(r"command[ -]r\+?",), makers=("cohere",), words=("Coral",)),
    Family(
        names=(r"smollm\d?[\w.-]*", "zephyr-[\\w.-]+", "starchat[\\w.-]*"),
        words=("Zephyr", "SmolLM"),
        makers=(r"hugging ?face(?:h4)?",),
    ),
    Family(
        names=(r"falcon-\d+b[\w.-]*",), words=("Falcon",), makers=(r"(?:the )?technology innovation institute", "tii")
    ),
    Family(names=(r"vicuna[\w.-]*",), makers=("lmsys",)),
    Family(names=(r"ernie bot", "文心一言", "文小言"), makers=("百度",), houses=("Baidu",)),
    Family(names=(r"chatglm[\w.-]*", r"glm-\d[\w.-]*", "智谱清言"), makers=(r"zhipu(?: ?ai)?", "z\\.ai", "智谱")),
    Family(names=(r"kimi(?:[ -]k?\d[\w.]*)?",), makers=(r"moonshot(?: ai)?", "月之暗面")),
    Family(names=(r"internlm[\w.-]*", "书生"), makers=(r"shanghai ai lab(?:oratory)?",)),
    Family(names=(r"baichuan[\w.-]*", "百川"), makers=(r"baichuan inc",)),
    Family(names=(r"hunyuan[\w.-]*", "混元"), houses=("Tencent", "腾讯")),
    Family(names=("doubao", "豆包"), houses=("ByteDance", "字节跳动")),
    Family(names=(r"minimax[\w.-]*",), makers=("minimax",)),
    Family(names=(r"yi-\d+b[\w.-]*",), makers=(r"01\.ai", "零一万物")),
    Family(names=(r"jamba[\w.-]*", r"jurassic-\d"), makers=(r"ai21(?: labs)?",)),
    Family(names=(r"nemotron[\w.-]*",), houses=("NVIDIA",)),
    Family(names=(r"amazon (?:nova|titan)", "nova (?:pro|lite|micro)"), houses=("Amazon", "AWS")),
    Family(names=(r"granite-[\w.-]+",), words=("Granite",), houses=("IBM",)),
    Family(
        names=(r"olmo[\w.-]*", r"t[uü]lu[ -]?\d[\w.-]*"),
        makers=(r"(?:the )?allen institute for (?:ai|artificial intelligence)", "ai2"),
    ),
    Family(names=(r"stablelm[\w.-]*", r"stable ?beluga[\w.-]*"), makers=(r"stability ?ai",)),
    Family(names=(r"open ?assistant",), makers=("laion",)),
    Family(names=(r"inflection-\d[\w.]*",), makers=(r"inflection(?: ai)",)),
    Family(names=(r"dolly[ -]v?\d[\w.-]*", "dbrx"), makers=("databricks", "mosaicml")),
    Family(
        names=(r"wizardlm[\w.-]*", r"openhermes[\w.-]*", r"nous[ -]hermes[\w.-]*", r"stanford alpaca"),
        makers=(r"nous research",),
    ),
)

_TICKS = "*_\"“”'‘’`"
_MARKS = f"[{_TICKS}]{{0,3}}"  # what a name may be dressed in


def _one_of(*found: tuple[str, ...]) -> str:
    return "|".join(sorted({name for names in found for name in names}, key=len, reverse=True))


_NAMES = _one_of(*(family.names for family in FAMILIES))
_WORDS = _one_of(*(family.words for family in FAMILIES))
_MAKERS = _one_of(*(family.makers for family in FAMILIES))
_HOUSES = _one_of(*(family.houses for family in FAMILIES))

# A word of many meanings: not before a surname ("Claude Monet"), nor where somebody says what else they are
# ("Claude, a painter"), nor as a possessive ("Claude's garden").
_SOMETHING_ELSE = r",? (?:an?|the) (?!(?:\w+ )?(?:AI|artificial|large|language|chat|virtual|assistant))"
_WORD = rf"(?:{_WORDS})(?!\w|[ -](?-i:[A-Z])|['’]s\b|{_SOMETHING_ELSE})"
NAME = rf"{_MARKS}(?<![\w-])(?P<name>(?i:{_NAMES})(?!\w)|(?-i:{_WORD})){_MARKS}"
MAKER = rf"{_MARKS}(?<![\w-])(?P<maker>(?i:{_MAKERS}))(?!\w){_MARKS}"
ANY_MAKER = rf"{_MARKS}(?<![\w-])(?P<maker>(?i:{_MAKERS})|(?-i:{_HOUSES}))(?!\w){_MARKS}"

_AI = r"(?:AI|A\.I\.|artificial intelligence|(?:large )?language model|LLM|assistant|chat ?bot|model|bot)"
_MADE = (
    r"(?:trained|made|created|developed|built|designed|provided|programmed|fine-?tuned|engineered|owned|"
    r"maintained|released)(?:,? (?:and|or) \w+)?"
)
_PEOPLE = r"(?:the )?(?:\w+ ){0,3}(?:team|researchers|engineers|people|folks|company|developers) (?:at|from|of) "
_BY = rf"{_MADE} by (?:{_PEOPLE}|the company )?"
_I_AM = r"\bI(?:['’]m| am)"
_SELF = r"(?:I(?:['’]m| am| was|['’]ve been| have been)|[Aa]s an?)"
_NOT_END = r"[^.!?\n]"

# Each reveals; what it reveals is in its groups `name` and `maker`.
SENTENCES: tuple[re.Pattern, ...] = tuple(
    re.compile(pattern)
    for pattern in (
        # I am Claude. · I'm called ChatGPT · I am an AI assistant named Gemini · I am actually based on GPT-4
        rf"{_I_AM} (?:(?:just|only|actually|simply|really|also|still|currently|not \w+, but) )?"
        rf"(?:called |named |known as |based on |powered by |built on |running on |a version of |an instance of )?"
        rf"(?:the )?{NAME}",
        rf"{_I_AM}[, ]+(?:just |only |actually )?(?:an?|the) {_NOT_END}{{0,50}}?\b{_AI} "
        rf"(?:called|named|known as|based on|powered by|built on|running on) (?:the )?{NAME}",
        rf"{_I_AM} an? {_MARKS}(?P<name>(?i:{_NAMES})){_MARKS} (?:\w+ )?(?:{_AI})\b",
        # My name is Claude · you can call me ChatGPT
        rf"\b[Mm]y name(?: is|['’]s) {NAME}(?! and I (?:live|work|was born))",
        rf"\b(?:[Cc]all|[Cc]alled) me {NAME}",
        # As ChatGPT, I … · As Claude, my …
        rf"\b[Aa]s {NAME},? (?:I\b|my\b|an? (?:\w+ )?{_AI})",
        # I was created by OpenAI · I am an AI language model developed by Google · As an AI trained by Anthropic
        rf"\bI(?:['’]m| am| was|['’]ve been| have been) (?:\w+ )?{_BY}{ANY_MAKER}",
        rf"\b{_SELF} {_NOT_END}{{0,60}}?\b{_AI}\b,? {_NOT_END}{{0,40}}?\b{_BY}{ANY_MAKER}",
        rf"(?:{_I_AM}|\b[Aa]s) an? (?:[\w-]+ ){{0,4}}?{_AI},? (?:from|by|of) {ANY_MAKER}",
        # an OpenAI language model, of which I am one
        rf"{_I_AM} an? {ANY_MAKER} (?:\w+ ){{0,2}}{_AI}\b",
        # My creators at Anthropic · Anthropic, who made me · OpenAI trained me
        rf"\b[Mm]y (?:creators?|makers?|developers?|training data),? (?:at |is |are |from |by )?(?:the )?{ANY_MAKER}",
        rf"{ANY_MAKER},? (?:my (?:creators?|makers?|developers?)|"
        rf"(?:who |which |that |the company (?:that|which) |has |have )*{_MADE} me)\b",
        # I cannot, as that goes against OpenAI's use case policy
        rf"\bI\b{_NOT_END}{{0,160}}?{MAKER}(?:['’]s)? (?:\w+[ -]){{0,3}}(?:polic(?:y|ies)|guidelines)\b",
        # The same in other languages
        rf"\b(?:[Ii]ch (?:bin|heiße)|[Jj]e (?:suis|m['’]appelle)|[Ss]oy|[Mm]e llamo|[Ss]ono|[Mm]i chiamo|[Ee]u sou|"
        rf"[Ii]k ben|[Jj]ag är|[Jj]estem|[Яя]|[Мм]еня зовут|[Bb]en) ?[-–—]? ?(?:das |le |el |o )?{NAME}"
        rf"(?! (?:und|et|y|e) )",
        rf"\b(?:[Ii]ch|[Jj]e|[Ss]oy|[Ss]ono|[Ee]u|[Ff]ui|[Hh]e sido|[Ii]k)\b{_NOT_END}{{0,60}}?"
        rf"\b(?:von|par|por|da|door) {MAKER}",
        rf"我(?:是|叫)(?:[^。！？\n]{{0,20}}?)(?P<name>(?i:{_NAMES})|(?-i:{_WORDS}))",
        rf"我是?由?[^。！？\n]{{0,20}}?(?P<maker>(?i:{_MAKERS}|{_HOUSES}))"
        rf"[^。！？\n]{{0,12}}?(?:开发|训练|创建|研发|打造|推出)",
        rf"私は[^。！？\n]{{0,20}}?(?P<name>(?i:{_NAMES}))",
    )
)
_STEMS = """
gpt openai davinci claude anthropic gemini gemma bard palm lamda deepmind google alphabet llama
meta facebook stral qwen qianwen 千问 alibaba 阿里 deepseek 深度求索 grok xai x.ai phi- bing copilot
sydney microsoft command cohere coral smollm zephyr starchat hugging falcon innovation tii
vicuna lmsys ernie 文心 文小言 百度 baidu glm 智谱 zhipu z.ai kimi moonshot 月之暗面 internlm 书生 shanghai
baichuan 百川 hunyuan 混元 tencent 腾讯 doubao 豆包 bytedance 字节 minimax yi- 01.ai 零一 jamba jurassic
ai21 nemotron nvidia amazon nova aws granite ibm olmo tulu tülu allen ai2 stable stability
assistant laion inflection dolly dbrx databricks mosaicml wizardlm hermes nous alpaca
"""
# No name is written without one of these, in lower case: to look for them first is fifty times as quick.
STEMS = tuple(_STEMS.split())


def _compiled(alternatives: tuple[str, ...], flags: int = 0) -> re.Pattern | None:
    return re.compile(rf"(?<![\w-])(?:{_one_of(alternatives)})(?![\w])", flags) if alternatives else None


# (what names the family, in any case; what its members are called wherever a text has named one of them)
FAMILY_OF = tuple(
    (
        re.compile(_one_of(family.names, family.words, family.makers, family.houses), re.IGNORECASE),
        _compiled((*family.names, *family.makers), re.IGNORECASE),
    )
    for family in FAMILIES
)
