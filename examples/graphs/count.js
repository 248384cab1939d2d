// The words of one line, and how often each is there.
const counts = {}
for (const word of input.split(' ')) counts[word] = (counts[word] ?? 0) + 1
return counts
