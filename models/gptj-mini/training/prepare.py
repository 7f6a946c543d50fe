"""Write the tokenizer, the evaluation set and the calibration set beside this folder.

    python prepare.py            needs tokenizers (the versions used are in the model card)
"""

import json
import pathlib

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

import newswire

OUT = pathlib.Path(__file__).resolve().parent.parent
VOCABULARY = 2048
END = "<|endoftext|>"
TOKENIZER_STORIES = 20_000


def texts(numbers):
    for number in numbers:
        article, summary = newswire.story(number)
        yield newswire.prompt(article)
        yield " " + summary


def train_tokenizer():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=[END], show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    start = newswire.TRAINING_START
    tokenizer.train_from_iterator(texts(range(start, start + TOKENIZER_STORIES)), trainer)
    tokenizer.save(str(OUT / "tokenizer.json"))
    return tokenizer


def write_json(name, value, indent=4):
    (OUT / name).write_text(json.dumps(value, indent=indent, ensure_ascii=False) + "\n", encoding="utf-8")


def write_set(name, numbers):
    samples = []
    for number in numbers:
        article, summary = newswire.story(number)
        samples.append({"instruction": newswire.INSTRUCTION, "input": article, "output": summary})
    write_json(name, samples)
    return {sample["input"] for sample in samples}


def main():
    tokenizer = train_tokenizer()
    end = tokenizer.token_to_id(END)
    write_json("tokenizer_config.json", {
        "add_prefix_space": False, "bos_token": END, "clean_up_tokenization_spaces": False, "eos_token": END,
        "model_max_length": 2048, "pad_token": END, "tokenizer_class": "PreTrainedTokenizerFast", "unk_token": END},
        indent=2)
    write_json("config.json", {
        "activation_function": "gelu_new", "architectures": ["GPTJForCausalLM"], "attn_pdrop": 0.0,
        "bos_token_id": end, "embd_pdrop": 0.0, "eos_token_id": end, "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-05, "model_type": "gptj", "n_embd": 512, "n_head": 2, "n_inner": 1024, "n_layer": 4,
        "n_positions": 2048, "resid_pdrop": 0.0, "rotary_dim": 64, "scale_attn_weights": True,
        "tie_word_embeddings": False, "torch_dtype": "float16", "use_cache": True,
        "vocab_size": tokenizer.get_vocab_size()}, indent=2)
    write_json("generation_config.json", {"bos_token_id": end, "eos_token_id": end}, indent=2)
    evaluation = write_set("cnn_eval.json", newswire.EVALUATION)
    calibration = write_set("calibration.json", newswire.CALIBRATION)
    assert len(evaluation) == len(newswire.EVALUATION), "an article occurs twice in the evaluation set"
    assert not evaluation & calibration, "an article is in the evaluation and the calibration set"

    lengths = sorted(len(tokenizer.encode(newswire.prompt(newswire.story(n)[0])).ids) for n in newswire.EVALUATION)
    answers = sorted(len(tokenizer.encode(" " + newswire.story(n)[1]).ids) for n in newswire.EVALUATION)
    for name, values in (("prompt", lengths), ("summary", answers)):
        print(f"{name} tokens: min {values[0]} median {values[len(values) // 2]} max {values[-1]}")


if __name__ == "__main__":
    main()
