// Fails on its first two attempts and succeeds on its third: what a flaky machine looks like from inside.
console.log(`attempt ${anchor.attempt}`);
if (anchor.attempt < 3) throw new Error(`not yet (attempt ${anchor.attempt})`);
return `it took ${anchor.attempt} attempts`;
