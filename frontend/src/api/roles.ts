/** What each role may do, in words. */
import type { Role } from "./session";

export const ROLE_WORDS: Readonly<Record<Role, string>> = {
  viewer: "Sees everything but events, keys and settings; changes nothing.",
  submitter: "Runs tasks and workflows and deploys apps; sees only its own of these.",
  operator: "Does what both may, with everybody's work; adds, drains and blocks nodes, judges cases, reads events.",
  admin: "Does all of it, gives and takes keys, and sees the settings.",
};
