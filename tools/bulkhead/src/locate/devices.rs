//! Mistakes about assigned devices, told with the names that the file uses: what the validator calls `spi` may be written
//! as `spi0`.

use crate::board::Platform;
use crate::devices::{console, mentions, place, shared};
use crate::diagnostic::{Diagnostic, Span};
use crate::file::SystemFile;
use manifest::{Device, Mistake, Name};

/// A device of a partition as the file names it.
struct Mention<'a> {
    word: &'a str,
    span: Span,
}

/// What is needed to find names.
struct Context<'a> {
    file: &'a SystemFile,
    platform: &'static Platform,
    mistake: &'a Mistake,
}

/// The message for a mistake about devices; `None` when it only follows from something that was reported already.
pub(super) fn diagnose(file: &SystemFile, mistake: &Mistake) -> Option<Diagnostic> {
    use Mistake as M;
    let context = Context { file, platform: *file.board.value()?, mistake };
    match mistake {
        M::DeviceTwice { device, first, second } if context.is_service(second) => {
            context.of_service(device, first, second)
        }
        M::DeviceTwice { device, first, second } if first.id == second.id => context.again(device, first),
        M::DeviceTwice { device, first, second } => context.twice(device, first, second),
        M::DevicesShare { device, first, other, second } => context.share(device, first, other, second),
        M::DeviceOfHypervisor { partition, device } => context.of_hypervisor(partition, device),
        M::DeviceDma { partition, device }
        | M::DeviceRestart { partition, device }
        | M::DeviceCovered { partition, device, .. }
        | M::DeviceInterrupt { partition, device, .. }
        | M::DeviceUnshielded { partition, device } => context.simple(partition, device),
        _ => None,
    }
}

impl<'a> Context<'a> {
    fn is_service(&self, name: &Name) -> bool {
        self.file.service.is_some() && name.id.index() == self.file.partitions.len()
    }

    fn device(&self, name: &str) -> Option<&'static Device> {
        self.platform.board.device(name).map(|(_, device)| device)
    }

    /// How `partition` names `device`: what stands there first.
    fn mention(&self, partition: &Name, device: &'a str) -> Option<Mention<'a>> {
        let partition = self.file.partition(partition.id.index())?;
        mentions(self.platform, partition, device).map(|(word, span)| Mention { word, span }).next()
    }

    /// The mistake at `mention`, in its words.
    fn at(&self, device: &str, mention: &Mention<'_>) -> Diagnostic {
        let (own, said) = (format!("device '{device}'"), format!("device '{}'", mention.word));
        let title = self.mistake.problem().to_string().replace(&own, &said);
        Diagnostic::new(mention.span.clone(), title, self.mistake.mend().to_string())
    }

    fn simple(&self, partition: &Name, device: &'a str) -> Option<Diagnostic> {
        Some(self.at(device, &self.mention(partition, device)?))
    }

    fn of_service(&self, device: &'a str, first: &Name, second: &Name) -> Option<Diagnostic> {
        let help = "leave it to the service partition, which serves it to the others".to_owned();
        let mistake = Diagnostic { help, ..self.at(device, &self.mention(first, device)?) };
        let service = self.file.partition(second.id.index())?;
        Some(mistake.label(format!("partition {first}")).also(service.span.clone(), "the service partition"))
    }

    /// Listed twice by one partition.
    fn again(&self, device: &'a str, name: &Name) -> Option<Diagnostic> {
        let partition = self.file.partition(name.id.index())?;
        let all: Vec<_> = mentions(self.platform, partition, device).collect();
        let is_second = |(place, (word, _)): &(usize, &(&str, Span))| all[..*place].iter().any(|(w, _)| w == word);
        let (_, (word, span)) = all.iter().enumerate().find(is_second)?;
        let (_, first) = all.iter().find(|(other, _)| other == word)?;
        let mention = Mention { word, span: span.clone() };
        Some(self.at(device, &mention).label("again").also(first.clone(), format!("partition {name}")))
    }

    fn twice(&self, device: &'a str, first: &Name, second: &Name) -> Option<Diagnostic> {
        let (one, two) = (self.mention(first, device)?, self.mention(second, device)?);
        if one.word != two.word {
            return self.share(device, first, device, second);
        }
        let mistake = self.at(device, &two).label(format!("partition {second}"));
        Some(mistake.also(one.span, format!("partition {first}")))
    }

    /// Two devices of two partitions that share something. The service partition, the last, names none.
    fn share(&self, device: &'a str, first: &Name, other: &'a str, second: &Name) -> Option<Diagnostic> {
        let what = shared(place(self.device(device)?), place(self.device(other)?));
        let one = self.mention(first, device)?;
        if self.is_service(second) {
            let title = format!(
                "device '{}' of partition {first} shares {what} with the service partition's '{other}'",
                one.word
            );
            let service = self.file.partition(second.id.index())?;
            let mistake = Diagnostic::new(one.span, title, "do without the device");
            return Some(mistake.also(service.span.clone(), "the service partition"));
        }
        let two = self.mention(second, other)?;
        let title = format!(
            "device '{}' of partition {second} shares {what} with device '{}' of partition {first}",
            two.word, one.word
        );
        let mistake = Diagnostic::new(two.span, title, "give both to one partition");
        Some(mistake.label(format!("partition {second}")).also(one.span, format!("partition {first}")))
    }

    fn of_hypervisor(&self, partition: &Name, device: &'a str) -> Option<Diagnostic> {
        let what = shared(place(self.device(device)?), console(self.platform.board));
        let mention = self.mention(partition, device)?;
        let word = mention.word;
        let title = format!("device '{word}' of partition {partition} shares {what} with the hypervisor's console");
        Some(Diagnostic { title, ..self.at(device, &mention) })
    }
}
