/** An app by the request itself, as programs send it. */
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { api, Problem, take } from "../../api/client";
import styles from "./Deploy.module.css";
import { Wrong } from "./Wrong";

export function AsJson({ body }: { body: unknown }) {
  const navigate = useNavigate();
  const [text, setText] = useState(() => JSON.stringify(body, null, 2));
  const [problem, setProblem] = useState<Problem | null>(null);
  const [sending, setSending] = useState(false);
  const wrong = faultOf(text);
  const deploy = async (event: React.FormEvent) => {
    event.preventDefault();
    setSending(true);
    setProblem(null);
    try {
      const made = await take(api.POST("/api/clusters", { body: JSON.parse(text) }));
      void navigate({ to: "/clusters/$id", params: { id: made.id } });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setProblem(error);
      setSending(false);
    }
  };
  return (
    <form className={styles.form} onSubmit={deploy}>
      <p className="mute">
        What <span className="mono">POST /api/clusters</span> takes: with <span className="mono">files</span> (texts by
        path) or a <span className="mono">source</span> that was uploaded; with neither it becomes a small Express app
        to begin with.
      </p>
      <textarea
        className={`field mono ${styles.json}`}
        aria-label="The request as JSON"
        aria-invalid={wrong !== null}
        aria-describedby="json-says"
        spellCheck={false}
        rows={16}
        value={text}
        onChange={(event) => setText(event.target.value)}
      />
      <p id="json-says" className={styles.fault} role="status">
        {wrong}
      </p>
      {problem !== null && <Wrong problem={problem} />}
      <div>
        <button type="submit" className="button main" disabled={wrong !== null || sending}>
          {sending ? "Deploying…" : "Deploy it"}
        </button>
      </div>
    </form>
  );
}

/** Why a text is no JSON; null where it is. */
function faultOf(text: string): string | null {
  try {
    JSON.parse(text);
    return null;
  } catch (error) {
    return `This is not JSON yet: ${(error as Error).message}`;
  }
}
