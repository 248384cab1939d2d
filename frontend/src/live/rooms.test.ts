import { beforeEach, describe, expect, test } from "vitest";
import { Rooms } from "./rooms";

const sum = (picture: number, data: number) => picture + data;

describe("the rooms of the live link", () => {
  let asked: [string, unknown][];
  let answers: Map<string, unknown>;
  let rooms: Rooms;

  beforeEach(() => {
    asked = [];
    answers = new Map([["join", { kind: "joined", room: "watch", seq: 5, at: 0, snapshot: 100 }]]);
    rooms = new Rooms(
      async (event, argument) => {
        asked.push([event, argument]);
        return answers.get(event) ?? null;
      },
      (tell) => tell(),
    );
  });

  test("frames add up to a picture, and old ones are no news", async () => {
    rooms.enter("watch", sum, () => {});
    await rooms.connected();
    rooms.frame({ room: "watch", seq: 6, at: 0, data: 1 });
    rooms.frame({ room: "watch", seq: 6, at: 0, data: 1 });
    rooms.frame({ room: "watch", seq: 4, at: 0, data: 1 });
    expect(rooms.seen("watch")).toMatchObject({ picture: 101, live: true });
  });

  test("a missing frame has the room joined again, and what comes meanwhile changes nothing", async () => {
    rooms.enter("watch", sum, () => {});
    await rooms.connected();
    answers.set("join", { kind: "joined", room: "watch", seq: 9, at: 0, snapshot: 500 });
    rooms.frame({ room: "watch", seq: 8, at: 0, data: 1 });
    rooms.frame({ room: "watch", seq: 9, at: 0, data: 1 });
    await Promise.resolve();
    await Promise.resolve();
    expect(asked.filter(([event]) => event === "join")).toHaveLength(2);
    expect(rooms.seen("watch")).toMatchObject({ picture: 500, live: true });
  });

  test("a room of which something was missed is joined again", async () => {
    rooms.enter("watch", sum, () => {});
    await rooms.connected();
    answers.set("join", { kind: "joined", room: "watch", seq: 6, at: 0, snapshot: 500 });
    rooms.missed("watch");
    rooms.missed("tasks");
    await Promise.resolve();
    await Promise.resolve();
    expect(asked.filter(([event]) => event === "join")).toHaveLength(2);
    expect(rooms.seen("watch")).toMatchObject({ picture: 500, live: true });
  });

  test("a cut link keeps the picture, says that it is not live, and joins anew", async () => {
    rooms.enter("watch", sum, () => {});
    await rooms.connected();
    rooms.disconnected();
    expect(rooms.seen("watch")).toMatchObject({ picture: 100, live: false });
    await rooms.connected();
    expect(rooms.seen("watch")).toMatchObject({ picture: 100, live: true });
  });

  test("a hidden page pauses, enters nothing, and sees everything anew when it is shown", async () => {
    await rooms.connected();
    await rooms.hidden();
    rooms.enter("watch", sum, () => {});
    expect(asked).toEqual([["pause", undefined]]);
    await rooms.shown();
    expect(asked.slice(1)).toEqual([
      ["resume", undefined],
      ["join", { room: "watch" }],
    ]);
  });

  test("a refusal is shown with its reason", async () => {
    answers.set("join", { kind: "refused", room: "events", code: "forbidden", message: "No.", hint: "Ask." });
    rooms.enter("events", sum, () => {});
    await rooms.connected();
    expect(rooms.seen("events")).toMatchObject({ picture: null, live: false, refused: { message: "No." } });
  });

  test("the last to leave a room leaves it", async () => {
    const first = rooms.enter("watch", sum, () => {});
    const second = rooms.enter("watch", sum, () => {});
    await rooms.connected();
    first();
    expect(asked.some(([event]) => event === "leave")).toBe(false);
    second();
    expect(asked.at(-1)).toEqual(["leave", { room: "watch" }]);
  });
});
