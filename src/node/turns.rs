//! The turns of duties: each is polled in turn, told what was answered, and what it asks for goes where it belongs.

use super::api::Piece;
use super::auditing::PROVE_DUTY;
use super::backup::BackupOutput;
use super::core::{Core, Duty};
use super::duty::{Ask, Ops, Told};
use super::keep::KeepOutput;
use super::list::ListOutput;
use super::merging::MergeOutput;
use super::ports::Output;
use super::reconciling::RECONCILE_DUTY;
use super::restore::RestoreOutput;
use super::verify::VerifyOutput;

impl Core {
    /// Hands an answer to a duty.
    pub(super) fn tell(&mut self, number: u64, told: Told) {
        if (RECONCILE_DUTY..=PROVE_DUTY).contains(&number) {
            return self.reconciling_told(number, told);
        }
        self.healed(&told);
        let Some(duty) = self.duties.get_mut(&number) else { return };
        let sealer = self.member.as_mut().and_then(|member| member.sealer.as_mut());
        match (duty, sealer) {
            (Duty::Keep(keep), _) => keep.told(told),
            (Duty::Collect(pass), _) => pass.told(told),
            (Duty::Verify(verify, _), sealer) => verify.told(told, sealer),
            (Duty::Backup(backup, _), Some(sealer)) => backup.told(told, sealer),
            (Duty::Merge(merging, _), Some(sealer)) => merging.told(told, sealer),
            (Duty::Upload(upload, _), _) => upload.told(told),
            (Duty::Restore(restore, _), Some(sealer)) => restore.told(told, sealer),
            (Duty::List(list, _), Some(sealer)) => list.told(told, sealer),
            (_, None) => {}
        }
    }

    /// Polls the duties in turn, until one of them has done something.
    pub(super) fn poll_duties(&mut self) -> bool {
        // Each once: those behind the last one, then those up to it.
        (0..self.duties.len()).any(|_| {
            let behind = self.duties.range(self.last_duty + 1..).next();
            let Some((number, _)) = behind.or_else(|| self.duties.first_key_value()) else { return false };
            self.last_duty = *number;
            self.poll_duty(self.last_duty)
        })
    }

    /// One turn of one duty. False when it waits.
    pub(super) fn poll_duty(&mut self, number: u64) -> bool {
        if self.duties.get(&number).is_none_or(|duty| self.stands_still(duty)) {
            return false;
        }
        let Some(duty) = self.duties.get_mut(&number) else { return false };
        let sealer = self.member.as_mut().and_then(|member| member.sealer.as_mut());
        match (duty, sealer) {
            (Duty::Keep(keep), _) => match keep.poll() {
                Some(KeepOutput::Ask(ask)) => self.ask(ask),
                Some(KeepOutput::Finished(end)) => self.keep_finished(number, end),
                None => return false,
            },
            (Duty::Collect(_), _) => return self.poll_pass(number),
            (Duty::Backup(backup, folder), Some(sealer)) => {
                let folder = *folder;
                match backup.poll(sealer) {
                    Some(BackupOutput::Ask(ask)) => {
                        self.push_sees(number, folder, &ask);
                        self.ask(ask);
                    }
                    Some(BackupOutput::Progress(progress)) => self.backup_progress(folder, &progress),
                    Some(BackupOutput::Partial(taken)) => self.partial_taken(folder, &taken),
                    Some(BackupOutput::Finished(result)) => self.backup_finished(number, folder, result),
                    None => return false,
                }
            }
            (Duty::Merge(merging, folder), Some(sealer)) => {
                let folder = *folder;
                match merging.poll(sealer) {
                    Some(MergeOutput::Ask(ask)) => {
                        self.push_sees(number, folder, &ask);
                        self.ask(ask);
                    }
                    Some(MergeOutput::Finished(result)) => self.merge_finished(number, folder, result),
                    None => return false,
                }
            }
            (Duty::Upload(..), Some(_)) => return self.poll_upload(number),
            (Duty::Restore(restore, call), Some(sealer)) => {
                let call = *call;
                match restore.poll(sealer) {
                    Some(RestoreOutput::Ask(ask)) => self.ask(ask),
                    Some(RestoreOutput::Piece(bytes)) => self.piece(call, Piece::Bytes(bytes)),
                    Some(RestoreOutput::Finished(result)) => self.duty_call_ends(number, call, result),
                    None => return false,
                }
            }
            (Duty::List(list, call), Some(_)) => {
                let call = *call;
                match list.poll() {
                    Some(ListOutput::Ask(ask)) => self.ask(ask),
                    Some(ListOutput::Line(line)) => self.json(call, line),
                    Some(ListOutput::Bytes(bytes)) => self.piece(call, Piece::Bytes(bytes)),
                    Some(ListOutput::Finished(result)) => self.duty_call_ends(number, call, result),
                    None => return false,
                }
            }
            (Duty::Verify(..), _) => return self.poll_verify(number),
            (_, None) => return false,
        }
        true
    }

    /// One turn of a check. False when it waits.
    fn poll_verify(&mut self, number: u64) -> bool {
        let Some(Duty::Verify(verify, call)) = self.duties.get_mut(&number) else { return false };
        let sealer = self.member.as_mut().and_then(|member| member.sealer.as_mut());
        match (verify.poll(sealer), *call) {
            (Some(VerifyOutput::Ask(ask)), _) => self.ask(ask),
            (Some(VerifyOutput::Misses(id, whose)), _) => self.check_misses(id, whose),
            (Some(VerifyOutput::Line(line)), Some(call)) => self.json(call, line),
            (Some(VerifyOutput::Line(_)), None) => {}
            (Some(VerifyOutput::Finished(result)), Some(call)) => self.duty_call_ends(number, call, result),
            (Some(VerifyOutput::Finished(result)), None) => {
                self.duties.remove(&number);
                self.look_ended(result.err().is_none_or(|error| error.code != "disk"));
            }
            (None, _) => return false,
        }
        true
    }

    /// What a duty asks for goes where it belongs.
    pub(super) fn ask(&mut self, ask: Ask) {
        match ask {
            Ask::Store(request) => self.outputs.push_back(Output::Store(request)),
            Ask::File(request) => self.outputs.push_back(Output::File(request)),
            Ask::Chunk { op, id } => self.source.chunk(op, id),
            Ask::Keep { op, id } => {
                let urgent = self.is_awaited(Ops::duty(op));
                self.source.keep(self.now.time, op, id, urgent, self.pushing.take_over(&id));
                self.source.pump(self.now.time);
                self.pump_push();
            }
        }
    }
}
