/** What each role may do, in words. */
import type { Role } from "../../api/session";

export const ROLE_WORDS: Record<Role, string> = {
  viewer: "Sees everything but events, keys and settings; changes nothing.",
  submitter: "Runs tasks and workflows and deploys apps; sees only its own.",
  operator: "What both may, for everybody's work; adds, drains and blocks nodes; judges cases; reads events.",
  admin: "All of it, and gives and takes keys; sees the settings.",
};
