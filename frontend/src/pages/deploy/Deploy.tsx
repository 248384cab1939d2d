/** Deploy an app: a folder, an archive or a request as JSON, and how it is to run; or a new release of one there is. */
import { useQuery } from "@tanstack/react-query";
import { createLazyRoute, Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useRef, useState } from "react";
import { api, Problem, take } from "../../api/client";
import { useMay } from "../../api/session";
import { AsCurl } from "../../ui/AsCurl";
import { Page } from "../../ui/Page";
import { Empty, Failed, Loading } from "../../ui/Said";
import { Tabs } from "../../ui/Tabs";
import { say } from "../../ui/Toast";
import { AsJson } from "./AsJson";
import { type Brought, Choose } from "./Choose";
import styles from "./Deploy.module.css";
import { Fields } from "./Fields";
import { type AppConfig, configOf, envOf, NO_WISH, POINTERS, type Wish, wishOf } from "./request";
import { sourceOf, uploaded } from "./source";
import type { Entry } from "./tar";
import { Wrong } from "./Wrong";

export const route = createLazyRoute("/clusters/new")({ component: Deploy });

const WAYS = ["Folder or archive", "JSON"] as const;

function Deploy() {
  const navigate = useNavigate();
  const { app, as }: { app?: string; as?: string } = useSearch({ from: "/clusters/new" });
  const may = useMay("submitter");
  const there = useQuery({
    queryKey: ["app", app],
    enabled: app !== undefined,
    queryFn: ({ signal }) => take(api.GET("/api/clusters/{id}", { params: { path: { id: app ?? "" } }, signal })),
    staleTime: Number.POSITIVE_INFINITY,
  });
  const title = app === undefined ? "Deploy an app" : `A new release of ${app}`;
  const path = app === undefined ? "/api/clusters" : `/api/clusters/${app}/releases`;
  const body = { name: "My Web App", type: "Web", config: { port: 8080, ram: "2048MB", cpu: 2 } };
  const aside = <AsCurl method="POST" path={path} body={app === undefined ? body : { config: body.config }} />;
  if (!may) {
    return (
      <Page title={title}>
        <Empty title="Your role only lets you look.">
          <p>
            Deploying takes a key of a submitter. <Link to="/apps">See what is deployed</Link>
          </p>
        </Empty>
      </Page>
    );
  }
  if (app !== undefined && there.data === undefined) {
    return (
      <Page title={title}>
        {there.isPending ? (
          <Loading what="the app" />
        ) : (
          <Failed what="the app" error={there.error ?? new Error("")} again={() => void there.refetch()} />
        )}
      </Page>
    );
  }
  if (app !== undefined) {
    return (
      <Page title={title} aside={aside}>
        <Form app={app} before={there.data?.config ?? {}} />
      </Page>
    );
  }
  const way = as === "json" ? "JSON" : "Folder or archive";
  const choose = (next: string) =>
    void navigate({ to: "/clusters/new", search: next === "JSON" ? { as: "json" } : {} });
  return (
    <Page title={title} aside={aside}>
      <Tabs label="Ways to deploy" names={WAYS} chosen={way} choose={choose}>
        {way === "JSON" ? <AsJson body={body} /> : <Form app={null} before={{}} />}
      </Tabs>
    </Page>
  );
}

/** `app` gets a new release; without one, a new app is made. */
function Form({ app, before }: { app: string | null; before: AppConfig }) {
  const navigate = useNavigate();
  const [wish, setWish] = useState<Wish>({ ...NO_WISH, ...wishOf(before) });
  const [brought, setBrought] = useState<Brought>({ state: "none" });
  const [problem, setProblem] = useState<Problem | null>(null);
  const [sending, setSending] = useState(false);
  const newest = useRef(0);

  const choose = async (entries: Promise<readonly Entry[]>) => {
    const own = ++newest.current;
    // Somebody may have chosen another one meanwhile.
    const show = (next: Brought) => {
      if (newest.current === own) setBrought(next);
    };
    try {
      show({ state: "packing" });
      const source = await sourceOf(await entries);
      setWish((old) => (old.name === "" ? { ...old, name: source.title } : old));
      show({ state: "bringing", source });
      const digest = await uploaded(source.archive);
      show({ state: "looking", source });
      const asked = { source: digest, type: wish.type, config: configOf(wish, before) };
      const plan = await take(api.POST("/api/cluster-plans", { body: asked as never }));
      show({ state: "ready", source, digest, plan });
    } catch (error) {
      const wrong = error instanceof Error ? error : new Error(String(error));
      show({ state: "wrong", message: wrong.message, hint: wrong instanceof Problem ? wrong.hint : "" });
    }
  };

  const deploy = async (event: React.FormEvent) => {
    event.preventDefault();
    setSending(true);
    setProblem(null);
    const source = brought.state === "ready" ? { source: brought.digest } : {};
    const asked = { ...source, config: configOf(wish, before), env: envOf(wish) };
    try {
      const made =
        app === null
          ? await take(api.POST("/api/clusters", { body: { ...asked, name: wish.name, type: wish.type } as never }))
          : await take(
              api.POST("/api/clusters/{id}/releases", { params: { path: { id: app } }, body: asked as never }),
            );
      say(`${made.name} is being deployed.`);
      void navigate({ to: "/clusters/$id", params: { id: made.id } });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setProblem(error);
      setSending(false);
    }
  };

  const faultOf = (field: keyof Wish) => {
    const pointer = POINTERS[field] ?? `/${field}`;
    return problem?.faults.find((one) => one.pointer === pointer || one.pointer.startsWith(`${pointer}/`))?.message;
  };
  const busy = ["packing", "bringing", "looking"].includes(brought.state);
  const otherwise =
    app === null
      ? "Without a source it becomes a small Express app to begin with."
      : "Without a source the new release has the one that the app has now.";
  return (
    <form className={styles.form} onSubmit={deploy}>
      <Choose brought={brought} choose={(entries) => void choose(entries)} otherwise={otherwise} />
      <Fields wish={wish} change={(part) => setWish((old) => ({ ...old, ...part }))} faultOf={faultOf} fixed={app} />
      {problem !== null && <Wrong problem={problem} />}
      <div className={styles.row}>
        <button type="submit" className="button main" disabled={busy || sending || brought.state === "wrong"}>
          {sending ? "Deploying…" : app === null ? "Deploy it" : "Deploy the release"}
        </button>
        {brought.state === "wrong" && <span className="mute">Choose another source first.</span>}
      </div>
    </form>
  );
}
