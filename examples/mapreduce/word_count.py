"""How often each word is in a text: anchor mapreduce --map word_count.py TEXT"""

from collections import Counter


def map(text):
    return Counter(text.split())


def reduce(word, counts):
    return sum(counts)
