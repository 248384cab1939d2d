/** The one live link of this page, and the hook with which a page is in a room of it. */
import { useCallback, useSyncExternalStore } from "react";
import { io } from "socket.io-client";
import { heard, linked, listenForSilence, lost } from "../api/liveness";
import { lookAgain } from "../api/session";
import { framed, received, synced } from "./pulse";
import { type Fold, type Frame, Rooms, type Seen } from "./rooms";

/** How long a link may take to be there. */
const CONNECT_MS = 8000;
const ANSWER_MS = 5000;
const AGAIN_MS = 3000;

const socket = io({
  path: "/live",
  transports: ["websocket"],
  autoConnect: false,
  reconnectionDelayMax: 3000,
  timeout: CONNECT_MS,
});

/** Listeners are told once per frame of the screen, however much has come. */
const waiting = new Set<() => void>();
function soon(tell: () => void): void {
  if (waiting.size === 0) {
    requestAnimationFrame(() => {
      const all = [...waiting];
      waiting.clear();
      for (const one of all) one();
    });
  }
  waiting.add(tell);
}

const rooms = new Rooms(async (event, argument) => {
  try {
    const call = socket.timeout(ANSWER_MS);
    const asked = Date.now();
    const answer = await (argument === undefined ? call.emitWithAck(event) : call.emitWithAck(event, argument));
    synced(answer, asked);
    return answer;
  } catch {
    // No answer in time: the link is as good as gone, and a new one starts from whole pictures.
    socket.disconnect().connect();
    return null;
  }
}, soon);

socket.on("connect", () => {
  heard();
  linked(null);
  socket.io.engine.on("data", received);
  void rooms.connected();
});
socket.on("disconnect", () => {
  lost();
  rooms.disconnected();
});
socket.on("frame", (frame: Frame) => {
  heard();
  framed(frame);
  rooms.frame(frame);
});
socket.on("missed", ({ room }: { room: string }) => rooms.missed(room));
socket.on("gone", (gone: { room: string; code: string; message: string }) =>
  rooms.gone(gone.room, gone.code, gone.message),
);
// A ping is a word of the server, too: where nothing changes, it is the only one.
socket.io.on("ping", heard);
socket.on("stop", (stop: { code: string; retrySeconds: number | null }) => {
  if (stop.retrySeconds === null) socket.disconnect();
  if (stop.code === "unauthenticated") void lookAgain();
});
socket.on("connect_error", (error) => {
  linked(error.message);
  // Where the link broke it comes back by itself; where the server refused it, it does not.
  if (socket.active) return;
  void lookAgain();
  setTimeout(() => socket.connect(), AGAIN_MS);
});
document.addEventListener("visibilitychange", () => void (document.hidden ? rooms.hidden() : rooms.shown()));

let isListening = false;

/** Open the link, or open it anew for whoever has signed in; it is quiet while nobody looks at the page. */
export function openLink(): void {
  socket.disconnect().connect();
  if (!isListening) listenForSilence();
  isListening = true;
}

/** What a room looks like, as it changes; `fold` is a function that stays the same. */
export function useRoom<Picture>(name: string, fold: Fold<Picture>): Seen<Picture> {
  const subscribe = useCallback((listener: () => void) => rooms.enter(name, fold, listener), [name, fold]);
  return useSyncExternalStore(subscribe, () => rooms.seen<Picture>(name));
}

/** Be in a room and be told how it looks, once per frame of the screen, until the function returned is called. */
export function enterRoom<Picture>(
  name: string,
  fold: Fold<Picture>,
  listener: (seen: Seen<Picture>) => void,
): () => void {
  return rooms.enter(name, fold, () => listener(rooms.seen<Picture>(name)));
}

/** A part of what a room looks like: only when that part is another one is anything drawn anew. */
export function useRoomPart<Picture, Part>(
  name: string,
  fold: Fold<Picture>,
  part: (seen: Seen<Picture>) => Part,
): Part {
  const subscribe = useCallback((listener: () => void) => rooms.enter(name, fold, listener), [name, fold]);
  return useSyncExternalStore(subscribe, () => part(rooms.seen<Picture>(name)));
}
