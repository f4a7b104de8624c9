"""What the two loops of a committer stand on, the sender and the follower alike."""

from __future__ import annotations

from dataclasses import dataclass

from lucidnode.fs.commit.commit_health import CommitHealth
from lucidnode.fs.commit.commit_signals import CommitSignals
from lucidnode.fs.commit.head_check import HeadCheck
from lucidnode.fs.commit.journal_client import CommitJournal
from lucidnode.fs.commit.own_entries import OwnEntries
from lucidnode.fs.commit.signs_of_life import SignsOfLife
from lucidnode.fs.commit.slot_decision import SlotDecision
from lucidnode.fs.replica.collected_blocks import CollectedBlocks
from lucidnode.fs.replica.pending_operations import PendingOperations
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.ids import ProjectId


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitGround:
    """The work and the journal of one project, and what is known of both."""

    project: ProjectId
    pending: PendingOperations
    collected: CollectedBlocks
    journal: CommitJournal
    slots: SlotDecision
    own: OwnEntries
    life: SignsOfLife
    head: HeadCheck
    health: CommitHealth
    signals: CommitSignals
    clock: Clock
