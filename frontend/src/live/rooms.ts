/** The rooms of the live link: who is in them, whether a frame is missing, and the picture each adds up to. */

/** What the server answers a `join`, and sends afterwards (src/anchor/wire/live.py). */
interface Joined {
  kind: "joined";
  room: string;
  seq: number;
  at: number;
  snapshot: unknown;
}
interface Refusal {
  kind: "refused";
  room: string;
  code: string;
  message: string;
  hint: string;
}
export interface Frame {
  room: string;
  seq: number;
  at: number;
  data: unknown;
}

/** How a frame changes a picture. */
export type Fold<Picture> = (picture: Picture, data: never) => Picture;

/** For rooms whose every frame is the whole picture. */
export function latest<Picture>(_: Picture, data: Picture): Picture {
  return data;
}

/** `live`: the picture is what is. `refused` says why there will be none. */
export interface Seen<Picture> {
  picture: Picture | null;
  live: boolean;
  refused: Refusal | null;
}

/** Sends an event and gives the server's answer to it. */
export type Ask = (event: string, argument?: unknown) => Promise<unknown>;

const UNSEEN: Seen<never> = { picture: null, live: false, refused: null };

interface Room {
  fold: Fold<unknown>;
  seq: number;
  joining: boolean;
  seen: Seen<unknown>;
  listeners: Set<() => void>;
}

/** All rooms of one link. It is told what the link says, and says what to ask; it draws nothing and waits for nobody. */
export class Rooms {
  private readonly rooms = new Map<string, Room>();
  private linked = false;
  private paused = false;

  constructor(
    private readonly ask: Ask,
    private readonly soon: (tell: () => void) => void,
  ) {}

  /** Be in a room until the function that is returned is called. */
  enter<Picture>(name: string, fold: Fold<Picture>, listener: () => void): () => void {
    let room = this.rooms.get(name);
    if (room === undefined) {
      room = { fold: fold as Fold<unknown>, seq: 0, joining: false, seen: UNSEEN, listeners: new Set() };
      this.rooms.set(name, room);
      if (this.linked && !this.paused) void this.join(name, room);
    }
    room.listeners.add(listener);
    return () => {
      const still = this.rooms.get(name);
      still?.listeners.delete(listener);
      if (still?.listeners.size === 0) {
        this.rooms.delete(name);
        if (this.linked) void this.ask("leave", { room: name });
      }
    };
  }

  /** What a room looks like now. */
  seen<Picture>(name: string): Seen<Picture> {
    return (this.rooms.get(name)?.seen ?? UNSEEN) as Seen<Picture>;
  }

  /** The link is there: every room is joined, for nobody knows what was missed. */
  async connected(): Promise<void> {
    this.linked = true;
    if (this.paused) await this.ask("pause");
    else await Promise.all([...this.rooms].map(([name, room]) => this.join(name, room)));
  }

  /** The link is gone: what was seen stays, and is live no longer. */
  disconnected(): void {
    this.linked = false;
    for (const room of this.rooms.values()) {
      room.joining = false;
      this.show(room, { ...room.seen, live: false });
    }
  }

  /** Nobody looks: the server sends nothing until somebody does. */
  async hidden(): Promise<void> {
    this.paused = true;
    if (this.linked) await this.ask("pause");
  }

  /** Somebody looks again: every room is joined anew, since a page may have entered some meanwhile. */
  async shown(): Promise<void> {
    this.paused = false;
    if (!this.linked) return;
    await this.ask("resume");
    await Promise.all([...this.rooms].map(([name, room]) => this.join(name, room)));
  }

  /** A frame has come: the next one changes the picture, one too many has the room joined again, an old one is no news. */
  frame(frame: Frame): void {
    const room = this.rooms.get(frame.room);
    if (room === undefined || room.joining || !room.seen.live || frame.seq <= room.seq) return;
    if (frame.seq > room.seq + 1) {
      void this.join(frame.room, room);
      return;
    }
    room.seq = frame.seq;
    this.show(room, { ...room.seen, picture: room.fold(room.seen.picture, frame.data as never) });
  }

  /** We were passed over, and no other frame may come that shows it. */
  missed(name: string): void {
    const room = this.rooms.get(name);
    if (room?.seen.live) void this.join(name, room);
  }

  /** The server has put us out of a room. */
  gone(name: string, code: string, message: string): void {
    const room = this.rooms.get(name);
    if (room === undefined) return;
    this.show(room, { ...room.seen, live: false, refused: { kind: "refused", room: name, code, message, hint: "" } });
  }

  private async join(name: string, room: Room): Promise<void> {
    if (room.joining) return;
    room.joining = true;
    const answer = (await this.ask("join", { room: name })) as Joined | Refusal | null;
    if (!room.joining || this.rooms.get(name) !== room) return;
    room.joining = false;
    if (answer === null) return;
    if (answer.kind === "refused") {
      this.show(room, { picture: null, live: false, refused: answer });
      return;
    }
    room.seq = answer.seq;
    this.show(room, { picture: answer.snapshot, live: true, refused: null });
  }

  private show(room: Room, seen: Seen<unknown>): void {
    room.seen = seen;
    this.soon(() => {
      for (const listener of room.listeners) listener();
    });
  }
}
