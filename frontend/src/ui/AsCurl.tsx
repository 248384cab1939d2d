/** Every page tells how to have the same from a terminal. */
import { useState } from "react";
import styles from "./AsCurl.module.css";
import { Dialog } from "./Dialog";
import { say } from "./Toast";

interface Request {
  method?: string;
  /** Path and query, from the server's root. */
  path: string;
  body?: unknown;
}

/** The command; where the server wants to know who asks, the token comes from the caller's environment. */
export function curlOf({ method = "GET", path, body }: Request, origin: string): string {
  const parts = ["curl -sS"];
  if (method !== "GET") parts.push(`-X ${method}`);
  if (!/^https?:\/\/(localhost|127\.0\.0\.1|\[::1\])(:|$)/.test(origin)) {
    parts.push('-H "Authorization: Bearer $ANCHOR_TOKEN"');
  }
  if (body !== undefined) parts.push("-H 'Content-Type: application/json'", `-d ${quoted(JSON.stringify(body))}`);
  parts.push(quoted(`${origin}${path}`));
  return parts.join(" \\\n  ");
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** Copy a text, and say so. */
export async function copy(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    say("Copied.");
  } catch {
    say("This browser does not let the page copy. Mark the text and copy it yourself.", true);
  }
}

export function AsCurl(request: Request) {
  const [shown, setShown] = useState(false);
  const command = curlOf(request, window.location.origin);
  return (
    <>
      <button type="button" className="link" onClick={() => setShown(true)}>
        as curl
      </button>
      {shown && (
        <Dialog title="The same from a terminal" close={() => setShown(false)}>
          <pre className={styles.command} tabIndex={0}>
            {command}
          </pre>
          <div>
            <button type="button" className="button main" onClick={() => void copy(command)}>
              Copy
            </button>
          </div>
        </Dialog>
      )}
    </>
  );
}
