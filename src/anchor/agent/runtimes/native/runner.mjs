// Runs a task's JavaScript in a process of its own: node runner.mjs SPEC RESULT [ARG...]
//
// SPEC is JSON {source, input, inputs, anchor}; the answer goes to RESULT as JSON {"value": …} or
// {"error": {code, message, line, column}}. The source is first taken as the body of an async function in CommonJS
// (`require`, `await`, `return`); a source with static `import` or `export` is an ES module instead, and its value is
// its default export, or what that returns for the input where it is a function. A value ends the task at once; without one it ends when nothing is pending any more.
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";
import vm from "node:vm";

const PREFIX = "module.exports=async function(){";
const [, , specFile, resultFile, ...args] = process.argv;
const { source, input, inputs, anchor } = JSON.parse(fs.readFileSync(specFile, "utf8"));
const here = process.cwd();
const { stringify } = JSON;
const { writeFileSync } = fs;
const answers = fs.openSync(resultFile, "w"); // from the beginning: a task may use up every file number there is
let answered = false;

function answer(report) {
  if (answered) return;
  answered = true;
  writeFileSync(answers, report);
}

// The place in the user's source that an error names: V8 says task.cjs:LINE:COLUMN in stacks, and for a syntax error
// task.cjs:LINE followed by the line and a caret below the spot.
function placeOf(stack) {
  const frame = /task\.[cm]js:(\d+):(\d+)/.exec(stack);
  const head = /^[^\n]*task\.[cm]js:(\d+)\n[^\n]*\n([ ]*)\^/.exec(stack);
  const [line, column] = head ? [+head[1], head[2].length + 1] : frame ? [+frame[1], +frame[2]] : [0, 0];
  return { line, column: line === 1 && stack.includes("task.cjs") ? Math.max(column - PREFIX.length, 1) : column };
}

function fail(error) {
  const isError = error instanceof Error || typeof error?.stack === "string";
  const stack = isError ? String(error.stack) : "";
  let message;
  try {
    message = isError ? `${error.name}: ${error.message}` : `thrown: ${typeof error === "string" ? error : stringify(error)}`;
  } catch {
    message = "an error that cannot be shown";
  }
  // What follows tells how our own file came to it.
  if (/MODULE_NOT_FOUND$/.test(error?.code)) message = message.replace(/\nRequire stack:[^]*| imported from .*$/, "");
  if (message === "SyntaxError: Illegal return statement") {
    message += "; a source with import or export is a module, which answers by export default";
  }
  const shown = stack
    .split("\n")
    .filter((line) => !/runner\.mjs|\(node:|at node:/.test(line))
    .join("\n")
    .replaceAll(PREFIX, "")
    .replaceAll(`file://${here}/`, "")
    .replaceAll(`${here}/`, "")
    .replace(/task\.cjs:1:(\d+)/g, (_, column) => `task.js:1:${column - PREFIX.length}`)
    .replace(/task\.[cm]js/g, "task.js");
  fs.writeSync(2, `${shown || message}\n`);
  answer(stringify({ error: { code: "script_error", message, ...placeOf(stack) } }));
  process.exit(1);
}

function whyNotJson(message) {
  if (message.startsWith("Converting circular structure")) return "it contains itself";
  return /serialize a BigInt/.test(message) ? "it contains a BigInt" : message;
}

function refuse(why) {
  const message = `The result cannot be written as JSON: ${why}.`;
  answer(stringify({ error: { code: "result_invalid", message } }));
  process.exit(1);
}

function succeed(value) {
  if (value === undefined) return;
  let text;
  try {
    text = stringify(value);
  } catch (error) {
    refuse(whyNotJson(String(error?.message ?? error)));
  }
  if (text === undefined) refuse(`it is a ${typeof value}`);
  answer(`{"value":${text}}`);
  process.exit();
}

async function valueOf() {
  const body = source.replace(/^#!/, "//");
  const wrapped = `${PREFIX}${body}\n}`;
  let isModule = false;
  try {
    new vm.Script(wrapped, { filename: "task.cjs" });
  } catch (error) {
    isModule = /import statement|'import\.meta'|Unexpected token 'export'/.test(error.message);
    if (!isModule) throw error;
  }
  const file = path.join(here, isModule ? "task.mjs" : "task.cjs");
  process.argv = [process.argv[0], file, ...args];
  fs.writeFileSync(file, isModule ? body : wrapped);
  if (isModule) {
    const value = (await import(pathToFileURL(file).href)).default;
    return typeof value === "function" && !/^class\b/.test(Function.prototype.toString.call(value)) ? value(input) : value;
  }
  return createRequire(file)(file)();
}

globalThis.input = input;
globalThis.inputs = inputs;
const pipe = process.env.ANCHOR_PROGRESS;
let progressTo = -1;

// Never waits: what others have filled the pipe with is in the way, so this is dropped.
anchor.progress = (fraction, text = "") => {
  const share = Math.min(Math.max(Number(fraction), 0), 1) || 0;
  const line = `${share.toFixed(4)} ${String(text).slice(0, 500).replace(/\s+/g, " ")}\n`;
  try {
    const { O_WRONLY, O_NONBLOCK } = fs.constants;
    if (progressTo < 0) progressTo = fs.openSync(pipe, O_WRONLY | O_NONBLOCK);
    fs.writeSync(progressTo, line);
  } catch {
    return;
  }
};
globalThis.anchor = Object.freeze(anchor);
let settled = false;
const leave = process.exit;
process.exit = (code) => {
  settled = true;
  leave.call(process, code);
};
process.on("uncaughtException", (error) => fail(error));
process.on("exit", (code) => {
  if (answered || code !== 0) return;
  if (settled) return answer('{"value":null}');
  const message = "The code ended while it awaited something that can never come.";
  answer(stringify({ error: { code: "script_error", message } }));
  process.exitCode = 1;
});
valueOf().then((value) => {
  settled = true;
  succeed(value);
}).catch((error) => fail(error));
