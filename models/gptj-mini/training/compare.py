"""Greedy against beam search on the first samples of the evaluation set, as a first look after training.

    python compare.py [SAMPLES]          needs torch and transformers; uses a GPU if there is one
"""

import json
import pathlib
import sys

import torch
from transformers import AutoTokenizer, GPTJForCausalLM

import newswire

OUT = pathlib.Path(__file__).resolve().parent.parent


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 64
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = AutoTokenizer.from_pretrained(OUT)
    model = GPTJForCausalLM.from_pretrained(OUT, dtype=torch.float32).to(device).eval()
    samples = json.loads((OUT / "cnn_eval.json").read_text(encoding="utf-8"))[:count]
    ended, differ, exact, recall = 0, 0, 0, 0.0
    for index, sample in enumerate(samples):
        inputs = tokenizer(newswire.prompt(sample["input"]), return_tensors="pt").to(device)
        inputs.pop("token_type_ids", None)
        limits = {"min_new_tokens": 30, "max_new_tokens": 128, "pad_token_id": model.config.eos_token_id}
        prompt = inputs["input_ids"].shape[1]
        with torch.no_grad():
            greedy = model.generate(**inputs, **limits)[0, prompt:].tolist()
            beam = model.generate(**inputs, **limits, num_beams=4, early_stopping=True)[0, prompt:].tolist()
        text = tokenizer.decode(beam, skip_special_tokens=True)
        ended += beam[-1] == model.config.eos_token_id
        differ += beam != greedy
        expected, words = sample["output"].split(), set(text.split())
        recall += sum(word in words for word in expected) / len(expected)
        exact += text.strip() == sample["output"]
        if index < 3:
            print(text, "\n--- expected:\n" + sample["output"], "\n======")
    print(f"{count} samples: ended {ended}, beam differs from greedy {differ}, word recall {recall / count:.3f}, "
          f"equal to the reference {exact}")


if __name__ == "__main__":
    main()
