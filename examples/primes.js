// Counts the primes below `input` (1,000,000 unless given) by a sieve; runs in an isolate and in Node.
const below = input ?? 1_000_000;
const composite = new Uint8Array(below);
let count = 0;
let largest = 0;
for (let n = 2; n < below; n++) {
  if (composite[n]) continue;
  count++;
  largest = n;
  for (let multiple = n * n; multiple < below; multiple += n) composite[multiple] = 1;
}
console.log(`${count} primes below ${below}`);
return { below, count, largest };
