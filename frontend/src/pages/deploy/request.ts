/** What the fields of the page ask for, as the request the server takes. */
import type { components } from "../../api/schema";

export type AppConfig = Partial<components["schemas"]["AppConfig"]>;
export type Plan = components["schemas"]["Plan"];

/** The fields as they are typed; an empty one is left to the server. */
export interface Wish {
  name: string;
  type: string;
  port: string;
  healthPath: string;
  ram: string;
  cpu: string;
  replicas: string;
  command: string;
  build: string;
  network: boolean;
  env: { name: string; value: string }[];
}

export const NO_WISH: Wish = {
  name: "",
  type: "Web",
  port: "",
  healthPath: "",
  ram: "",
  cpu: "",
  replicas: "",
  command: "",
  build: "",
  network: false,
  env: [],
};

/** Where in the request a field stands, as faults name it. */
export const POINTERS: Partial<Record<keyof Wish, string>> = {
  name: "/name",
  type: "/type",
  port: "/config/port",
  healthPath: "/config/healthPath",
  ram: "/config/ram",
  cpu: "/config/cpu",
  replicas: "/config/scale",
  command: "/config/command",
  build: "/config/build",
};

/** The fields of a config that there is. */
export function wishOf(config: AppConfig): Partial<Wish> {
  const text = (value: unknown) => (value === undefined || value === null ? "" : String(value));
  return {
    port: text(config.port),
    healthPath: text(config.healthPath),
    ram: text(config.ram),
    cpu: text(config.cpu),
    replicas: text(config.scale?.web),
    command: text(config.command),
    build: text(config.build),
    network: config.network ?? false,
  };
}

/** The config that the fields ask for, over what `before` says of all that has no field. */
export function configOf(wish: Wish, before: AppConfig = {}): AppConfig {
  const { port, healthPath, ram, cpu, command, build, network, scale, ...rest } = before;
  const words = { healthPath: wish.healthPath, ram: wish.ram, command: wish.command, build: wish.build };
  const said = Object.fromEntries(Object.entries(words).filter(([, value]) => value.trim() !== ""));
  const main = wish.type === "Worker" ? "worker" : "web";
  const scaled = wish.replicas === "" ? scale : { ...scale, [main]: Number(wish.replicas) };
  return {
    ...rest,
    ...said,
    ...(wish.port === "" ? {} : { port: Number(wish.port) }),
    ...(wish.cpu === "" ? {} : { cpu: Number(wish.cpu) }),
    ...(scaled === undefined ? {} : { scale: scaled }),
    ...(wish.network ? { network: true } : {}),
  };
}

/** The variables that are named. */
export function envOf(wish: Wish): Record<string, string> {
  return Object.fromEntries(wish.env.filter((one) => one.name !== "").map((one) => [one.name, one.value]));
}

const KINDS: Record<Plan["kind"], string> = {
  node: "A Node program",
  python: "A Python program",
  static: "A static site",
  command: "A program of the machine",
};

/** What a source turned out to be, in a sentence. */
export function planInWords(plan: Plan): string {
  const parts = [KINDS[plan.kind]];
  // What is as by default is left out of an answer.
  if (plan.install) parts.push(`packages by ${plan.install}`);
  if (plan.build) parts.push(`built by ${plan.build}`);
  if (plan.kind === "static") parts.push(plan.root ? `served from ${plan.root}` : "served as it is");
  return `${parts.join(", ")}.`;
}
