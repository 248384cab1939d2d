/** Times and amounts as people say them. */
import { serverNow } from "../live/pulse";

/** A count with its thousands apart. */
export function count(value: number): string {
  return value.toLocaleString("en");
}

/** How many, with the word for one or for more: "1 node", "1,204 nodes". */
export function many(value: number, one: string, more = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : more}`;
}

/** A length of time in milliseconds: 84 ms, 3.2 s, 41 min, 5 h, 3 d. */
export function lasting(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

/** How long ago a moment of the server was. */
export function ago(moment: string, now = serverNow()): string {
  const ms = now - Date.parse(moment);
  return ms < 1000 ? "just now" : `${lasting(ms)} ago`;
}

/** A moment of today as a time of day, any other with its date. */
export function at(moment: string, now = new Date()): string {
  const date = new Date(moment);
  const time = date.toLocaleTimeString("en-GB");
  return date.toDateString() === now.toDateString()
    ? time
    : `${date.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" })} ${time}`;
}

/** A SHA-256 as people compare it, first and last letters; anything else as it is. */
export function short(digest: string): string {
  return digest.length === 64 ? `${digest.slice(0, 4)}…${digest.slice(-4)}` : digest;
}

/** Mebibytes or the unit that fits: 512 B, 3.1 MiB. */
export function bytes(size: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  let left = size;
  while (left >= 1024 && at < units.length - 1) {
    left /= 1024;
    at += 1;
  }
  return `${at === 0 ? left : left.toFixed(1)} ${units[at]}`;
}
