// Counts the words of the text in `input`, and names the ones it uses most.
const words = input.toLowerCase().match(/[\p{Letter}’']+/gu) ?? [];
const counts = new Map();
for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
const often = [...counts].filter(([word]) => word.length > 4).sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
console.log(`${words.length} words, ${counts.size} different ones`);
return { words: words.length, different: counts.size, often: Object.fromEntries(often.slice(0, 5)) };
