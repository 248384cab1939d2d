/** Which files of a folder are left out: what no app needs, and what its own list says. */

/** Left out in any case, unless the folder's own list takes it back with !. */
const ALWAYS = [
  ".git/",
  ".hg/",
  ".svn/",
  "node_modules/",
  "__pycache__/",
  "*.pyc",
  ".venv/",
  "venv/",
  ".env",
  ".env.*",
  ".DS_Store",
  ".mypy_cache/",
  ".pytest_cache/",
  ".ruff_cache/",
];
/** Of these the first one that is in the folder says what is left out. */
export const LISTS = [".anchorignore", ".gitignore"];

interface Pattern {
  takesBack: boolean;
  matches: RegExp;
}

/** Whether a path is left out, by the text of the folder's own list. */
export function ignoring(list: string): (path: string) => boolean {
  const patterns = [...ALWAYS, ...list.split(/\r?\n/)].flatMap(patternOf);
  const isOut = (path: string) => patterns.reduce((out, one) => (one.matches.test(path) ? !one.takesBack : out), false);
  return (path) => {
    const names = path.split("/");
    // What lies in a folder that is left out is left out with it.
    return names.some((_, depth) => isOut(names.slice(0, depth + 1).join("/") + (depth < names.length - 1 ? "/" : "")));
  };
}

function patternOf(line: string): Pattern[] {
  const text = line.trim();
  if (text === "" || text.startsWith("#")) return [];
  const takesBack = text.startsWith("!");
  const bare = takesBack ? text.slice(1) : text;
  const folder = bare.endsWith("/");
  const inner = bare.replace(/^\/|\/$/g, "");
  const anchored = bare.startsWith("/") || inner.includes("/");
  const body = inner
    .split(/(\*\*\/|\*\*|\*|\?)/)
    .map(
      (part) =>
        ({ "**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]" })[part] ??
        part.replace(/[.+^${}()|[\]\\]/g, "\\$&"),
    )
    .join("");
  return [{ takesBack, matches: new RegExp(`^${anchored ? "" : "(?:.*/)?"}${body}${folder ? "/" : "/?"}$`) }];
}
