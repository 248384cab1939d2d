/** The REST API, typed by what the server says of itself; every failure is a Problem with a sentence and a hint. */
import createClient from "openapi-fetch";
import { heard, lost } from "./liveness";
import type { components, paths } from "./schema";

type Schemas = components["schemas"];
export type TaskRow = Schemas["TaskRow"];
export type TaskView = Schemas["TaskView"];
export type NodeView = Schemas["NodeView"];
export type AppRow = Schemas["AppRow"];
export type CaseRow = Schemas["CaseRow"];
export type Health = Schemas["Health"];
export type LogLine = Schemas["LogLine"];

/** Something the server refused or could not do, in its own words; status 0: it did not answer at all. */
export class Problem extends Error {
  override readonly name = "Problem";
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly hint: string,
    readonly requestId: string,
    /** What is wrong with which place of the request, as JSON pointers. */
    readonly faults: readonly { pointer: string; message: string }[] = [],
  ) {
    super(message);
  }
}

/** The client: `api.GET("/api/tasks", { params: … })`; wrap calls in `take`. */
export const api = createClient<paths>({ baseUrl: window.location.origin });

api.use({
  onResponse({ response }) {
    // A proxy says these for a server that is away; a server that made a mistake is there.
    if ([502, 503, 504].includes(response.status)) lost();
    else heard();
  },
  onError() {
    lost();
    return new Problem(
      0,
      "no_answer",
      "The server does not answer.",
      "Look whether it runs: anchor server status. This page tries again by itself.",
      "",
    );
  },
});

interface Outcome<Data> {
  data?: Data;
  error?: unknown;
  response: Response;
}

/** The data of an answer; throws a Problem where it is none. */
export async function take<Data>(call: Promise<Outcome<Data>>): Promise<Data> {
  return (await takeWhole(call)).data;
}

/** The data of an answer with its response, for its headers; throws a Problem where it is none. */
export async function takeWhole<Data>(call: Promise<Outcome<Data>>): Promise<{ data: Data; response: Response }> {
  const { data, error, response } = await call;
  if (!response.ok || data === undefined) throw problemOf(error, response.status);
  return { data, response };
}

/** A problem document as a Problem, whatever came instead of one. */
export function problemOf(body: unknown, status: number): Problem {
  const told = typeof body === "object" && body !== null ? (body as Record<string, unknown>) : {};
  const text = (name: string, otherwise: string) => {
    const value = told[name];
    return typeof value === "string" && value !== "" ? value : otherwise;
  };
  return new Problem(
    status,
    text("code", "unknown"),
    text("detail", text("title", `The server answered ${status}.`)),
    text("hint", ""),
    text("requestId", ""),
    faultsOf(told.errors),
  );
}

function faultsOf(told: unknown): { pointer: string; message: string }[] {
  if (!Array.isArray(told)) return [];
  return told.filter((one) => typeof one?.pointer === "string" && typeof one?.message === "string");
}
