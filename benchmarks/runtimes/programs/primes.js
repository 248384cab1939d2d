// The primes below a number, counted by trial division or by a sieve; the same source in node and in an isolate.
// `input` is {how, below, times}; the result is [count, milliseconds each time].
const trial = (below) => {
  let count = below > 2 ? 1 : 0;
  for (let n = 3; n < below; n += 2) {
    let prime = true;
    for (let d = 3; d * d <= n; d += 2) {
      if (n % d === 0) {
        prime = false;
        break;
      }
    }
    if (prime) count++;
  }
  return count;
};

const sieve = (below) => {
  const composite = new Uint8Array(below);
  let count = 0;
  for (let n = 2; n < below; n++) {
    if (composite[n]) continue;
    count++;
    for (let multiple = n * n; multiple < below; multiple += n) composite[multiple] = 1;
  }
  return count;
};

const begun = performance.now();
let count;
for (let time = 0; time < input.times; time++) count = (input.how === "sieve" ? sieve : trial)(input.below);
return [count, (performance.now() - begun) / input.times];
