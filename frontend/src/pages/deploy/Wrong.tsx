/** What the server has against the request, as a whole. */
import type { Problem } from "../../api/client";
import looks from "../../ui/looks.module.css";

export function Wrong({ problem }: { problem: Problem }) {
  return (
    <div className={`${looks.note} ${looks.lines}`} role="alert">
      <p>
        <b>{problem.message}</b>
      </p>
      {problem.hint && <p className="mute">{problem.hint}</p>}
      {problem.faults.length > 0 && (
        <ul>
          {problem.faults.map((one) => (
            <li key={one.pointer}>
              <span className="mono">{one.pointer}</span> {one.message}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
