/** How an app is to run: the fields of its request, each with what is wrong with it. */
import { useId } from "react";
import styles from "./Deploy.module.css";
import type { Wish } from "./request";

interface FieldsProps {
  wish: Wish;
  change: (part: Partial<Wish>) => void;
  faultOf: (field: keyof Wish) => string | undefined;
  /** The app that gets a new release: its name and type are what they are. */
  fixed: string | null;
}

export function Fields({ wish, change, faultOf, fixed }: FieldsProps) {
  const text = (field: "name" | "port" | "healthPath" | "ram" | "cpu" | "replicas" | "command" | "build") => ({
    value: wish[field],
    fault: faultOf(field),
    set: (value: string) => change({ [field]: value }),
  });
  return (
    <>
      <div className={styles.fields}>
        {fixed === null && (
          <>
            <Field label="Name" {...text("name")} hint="its address is made of it" required />
            <label className={styles.field}>
              Type
              <select className="field" value={wish.type} onChange={(event) => change({ type: event.target.value })}>
                <option value="Web">Web: requests are routed to it</option>
                <option value="Static">Static: a folder of files</option>
                <option value="Worker">Worker: nothing is routed to it</option>
              </select>
            </label>
          </>
        )}
        <Field
          label="Health path"
          {...text("healthPath")}
          placeholder="/health"
          hint="else its port has to take connections"
        />
        <Field label="Memory of a replica" {...text("ram")} placeholder="512MB" hint="512MB, 1.5GB" />
        <Field label="Cores of a replica" {...text("cpu")} placeholder="1" numeric />
        <Field label="Replicas" {...text("replicas")} placeholder="1" numeric />
        <Field
          label="Port on its machine"
          {...text("port")}
          placeholder="none"
          numeric
          hint="none: only through its address"
        />
        <Field label="Command" {...text("command")} placeholder="as detected" />
        <Field label="Build command" {...text("build")} placeholder="as detected" />
      </div>
      <label className={styles.check}>
        <input type="checkbox" checked={wish.network} onChange={(event) => change({ network: event.target.checked })} />{" "}
        It may use the network outwards; its machine's owner has to allow that, too
      </label>
      <Env wish={wish} change={change} fault={faultOf("env")} />
    </>
  );
}

interface FieldProps {
  label: string;
  value: string;
  set: (value: string) => void;
  fault: string | undefined;
  hint?: string;
  placeholder?: string;
  numeric?: boolean;
  required?: boolean;
}

function Field({ label, value, set, fault, hint, placeholder, numeric = false, required = false }: FieldProps) {
  const id = useId();
  return (
    <div className={styles.field}>
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        className="field"
        value={value}
        placeholder={placeholder}
        required={required}
        inputMode={numeric ? "decimal" : "text"}
        autoComplete="off"
        spellCheck={false}
        aria-invalid={fault !== undefined}
        aria-describedby={`${id}-says`}
        onChange={(event) => set(event.target.value)}
      />
      <span id={`${id}-says`} className={fault === undefined ? "mute" : styles.fault}>
        {fault ?? hint ?? ""}
      </span>
    </div>
  );
}

function Env({
  wish,
  change,
  fault,
}: {
  wish: Wish;
  change: (part: Partial<Wish>) => void;
  fault: string | undefined;
}) {
  const set = (index: number, part: { name?: string; value?: string }) =>
    change({ env: wish.env.map((one, at) => (at === index ? { ...one, ...part } : one)) });
  return (
    <fieldset className={styles.env}>
      <legend>Variables: kept encrypted, and shown to nobody again</legend>
      {wish.env.map((one, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: a row is its place, its name is what is typed
        <div key={index} className={styles.row}>
          <input
            className="field mono"
            aria-label={`Name of variable ${index + 1}`}
            placeholder="API_TOKEN"
            autoComplete="off"
            spellCheck={false}
            value={one.name}
            onChange={(event) => set(index, { name: event.target.value })}
          />
          <input
            className="field mono"
            type="password"
            aria-label={`Value of variable ${index + 1}`}
            autoComplete="new-password"
            value={one.value}
            onChange={(event) => set(index, { value: event.target.value })}
          />
          <button
            type="button"
            className="link"
            onClick={() => change({ env: wish.env.filter((_, at) => at !== index) })}
          >
            take away<span className="unseen"> variable {index + 1}</span>
          </button>
        </div>
      ))}
      {fault !== undefined && <p className={styles.fault}>{fault}</p>}
      <button type="button" className="button" onClick={() => change({ env: [...wish.env, { name: "", value: "" }] })}>
        Add a variable
      </button>
    </fieldset>
  );
}
