/** Day by day: how much CPU was used, as bars and as a table. */
import { useState } from "react";
import { count } from "../../ui/words";
import { type Day, worked } from "./queries";
import styles from "./Usage.module.css";

/** A day as people write it; days are of UTC. */
function dayOf(day: string): string {
  return new Date(`${day}T00:00:00Z`).toLocaleDateString("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
}

export function Days({ days }: { days: readonly Day[] }) {
  const [asTable, setAsTable] = useState(false);
  const most = Math.max(...days.map((day) => day.cpuSeconds), 0);
  const best = days.find((day) => day.cpuSeconds === most);
  const words =
    best === undefined || most === 0
      ? "No CPU time was used on any of these days."
      : `CPU time by day: most on ${dayOf(best.day)}, ${worked(most)}.`;
  return (
    <section aria-label="Day by day">
      {asTable ? (
        <table className={styles.twin}>
          <thead>
            <tr>
              <th scope="col">day (UTC)</th>
              <th scope="col">CPU time</th>
              <th scope="col">running time</th>
              <th scope="col">tasks</th>
              <th scope="col">failed</th>
            </tr>
          </thead>
          <tbody>
            {days.toReversed().map((day) => (
              <tr key={day.day}>
                <td>{dayOf(day.day)}</td>
                <td>{worked(day.cpuSeconds)}</td>
                <td>{worked(day.wallSeconds)}</td>
                <td>{count(day.tasks)}</td>
                <td>{count(day.failed)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      ) : (
        <>
          <div className={styles.days} role="img" aria-label={words}>
            {days.map((day) => (
              <span
                key={day.day}
                className={day.cpuSeconds > 0 ? styles.day : `${styles.day} ${styles.none}`}
                style={{ height: most > 0 ? `max(2px, ${(100 * day.cpuSeconds) / most}%)` : "2px" }}
                title={`${dayOf(day.day)}: ${worked(day.cpuSeconds)} of CPU, ${count(day.tasks)} tasks`}
              />
            ))}
          </div>
          <div className={styles.axis} aria-hidden="true">
            <span>{days[0] === undefined ? "" : dayOf(days[0].day)}</span>
            <span>CPU time by day (UTC){most > 0 ? `, at most ${worked(most)}` : ""}</span>
            <span>today</span>
          </div>
        </>
      )}
      <button type="button" className="link" onClick={() => setAsTable(!asTable)}>
        {asTable ? "show as bars" : "read as a table"}
      </button>
    </section>
  );
}
