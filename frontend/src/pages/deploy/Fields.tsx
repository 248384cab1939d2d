/** How an app is to run: the fields of its request, each with what is wrong with it. */
import { Choice, Text, Tick, Wrong } from "../../ui/Field";
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
    wrong: faultOf(field),
    change: (value: string) => change({ [field]: value }),
    above: true,
  });
  return (
    <>
      <div className={styles.fields}>
        {fixed === null && (
          <>
            <Text name="Name" {...text("name")} hint="its address is made of it" required />
            <Choice
              name="Type"
              value={wish.type}
              choices={[
                { value: "Web", word: "Web: requests are routed to it" },
                { value: "Static", word: "Static: a folder of files" },
                { value: "Worker", word: "Worker: nothing is routed to it" },
              ]}
              change={(type) => change({ type })}
              above
            />
          </>
        )}
        <Text
          name="Health path"
          {...text("healthPath")}
          placeholder="/health"
          hint="else its port has to take connections"
        />
        <Text name="Memory of a replica" {...text("ram")} placeholder="512MB" hint="512MB, 1.5GB" />
        <Text name="Cores of a replica" {...text("cpu")} placeholder="1" numeric />
        <Text name="Replicas" {...text("replicas")} placeholder="1" numeric />
        <Text
          name="Port on its machine"
          {...text("port")}
          placeholder="none"
          numeric
          hint="none: only through its address"
        />
        <Text name="Command" {...text("command")} placeholder="as detected" />
        <Text name="Build command" {...text("build")} placeholder="as detected" />
      </div>
      <Tick
        name="It may use the network outwards; its machine's owner has to allow that, too"
        value={wish.network}
        change={(network) => change({ network })}
      />
      <Env wish={wish} change={change} fault={faultOf("env")} />
    </>
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
      <Wrong says={fault} />
      <button type="button" className="button" onClick={() => change({ env: [...wish.env, { name: "", value: "" }] })}>
        Add a variable
      </button>
    </fieldset>
  );
}
